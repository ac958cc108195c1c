using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation;

/// <summary>
/// Final hidden states of windows. When all weights fit the memory as 32-bit floats they stay there from call to call and each batch passes through
/// all blocks; otherwise one block at a time is loaded and all windows pass through it, and of a block that does not fit by itself the experts, or all linears, are left in their files
/// until they are computed with (<see cref="CausalModel.Paging"/>). All ways give the same numbers.
/// </summary>
public sealed class ModelRunner : IDisposable
{
    private readonly ModelRunnerOptions _options;
    private readonly Func<int, IDecoderBlock> _loadBlock;
    private IDecoderBlock[]? _blocks;
    private InputEmbedding? _embedding;
    private OutputHead? _head;

    /// <summary>Prepares a model; nothing is loaded yet.</summary>
    /// <param name="model">The model; not owned.</param>
    /// <param name="options">Memory and batches; null for the usual.</param>
    /// <param name="loadBlock">
    /// Gives block i in place of <see cref="CausalModel.LoadBlock"/>, such as one with other weights; owned from then on.
    /// </param>
    public ModelRunner(CausalModel model, ModelRunnerOptions? options = null, Func<int, IDecoderBlock>? loadBlock = null)
    {
        Model = model;
        _options = options ?? new ModelRunnerOptions();
        _loadBlock = loadBlock ?? model.LoadBlock;
        IsPlain = loadBlock is null;
        Resident = WeightBytes(model) <= _options.Budget;
        while (!Resident && BlockBytes() > _options.Budget && model.Paging < WeightPaging.Linears)
            model.Paging = model.Paging == WeightPaging.None && model.Layout.LargestBlock.Any(linear => linear.IsExpert) ? WeightPaging.Experts : WeightPaging.Linears;
    }

    /// <summary>The model.</summary>
    public CausalModel Model { get; }

    /// <summary>Whether all blocks stay in memory.</summary>
    public bool Resident { get; }

    /// <summary>Whether the blocks are the model's own.</summary>
    internal bool IsPlain { get; }

    /// <summary>Gives the embedding in place of <see cref="CausalModel.LoadEmbedding"/>; null for the model's own.</summary>
    public Func<InputEmbedding>? EmbeddingSource { get; init; }

    /// <summary>Gives the head in place of <see cref="CausalModel.LoadHead"/>; null for the model's own.</summary>
    public Func<OutputHead>? HeadSource { get; init; }

    /// <summary>What products of linears, the head's among them, are rounded to; sums are 32-bit floats.</summary>
    public Precision Precision { get; init; }

    /// <summary>Memory and batches.</summary>
    internal ModelRunnerOptions Options => _options;

    /// <summary>The model's final norm and output head; owned by the runner.</summary>
    public OutputHead Head => _head ??= HeadSource?.Invoke() ?? Model.LoadHead();

    /// <summary>Bytes of a model's weights, embedding and head as 32-bit floats.</summary>
    internal static long WeightBytes(CausalModel model) => (model.LinearWeights + (2L * model.Config.VocabularySize * model.Config.HiddenSize)) * sizeof(float);

    /// <summary>Bytes of its head.</summary>
    internal static long HeadBytes(CausalModel model) => (long)model.Config.VocabularySize * model.Config.HiddenSize * sizeof(float);

    /// <summary>Computes the hidden states behind the last block, in front of the final norm.</summary>
    /// <param name="windows">Token ids; lengths may differ.</param>
    /// <param name="consume">
    /// Given each window's number and its states [length, hidden], valid during the call; called once per window, in order.
    /// </param>
    /// <param name="progress">Told about every batch.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="EvaluationException">A window is empty or longer than the model's positions.</exception>
    /// <exception cref="CheckpointException">An id is beyond the vocabulary, or the checkpoint is unsound.</exception>
    public void Run(
        IReadOnlyList<int[]> windows,
        Action<int, Tensor> consume,
        IProgress<EvaluationProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        Check(windows);
        if (windows.Count == 0) return;
        if (Resident) RunResident(windows, consume, progress, cancellation);
        else RunStreaming(windows, consume, progress, cancellation);
    }

    /// <summary>A tape for values alone, in the precision of the runner; the caller's.</summary>
    internal Tape BeginTape()
    {
        using IDisposable rounding = Model.Device.With(Precision);
        return new Tape(Model.Device, recording: false);
    }

    /// <summary>Gives the memory of the blocks back; the next run loads them again.</summary>
    public void ReleaseBlocks()
    {
        foreach (IDecoderBlock block in _blocks ?? []) block.Dispose();
        _blocks = null;
        _embedding?.Dispose();
        _embedding = null;
        Model.Device.Trim();
    }

    /// <summary>Does something with the embedding, which stays in memory when the blocks do.</summary>
    internal void WithEmbedding(Action<InputEmbedding> action)
    {
        if (Resident)
        {
            action(_embedding ??= LoadEmbedding());
            return;
        }
        using InputEmbedding embedding = LoadEmbedding();
        action(embedding);
    }

    /// <summary>Does something with every block, in order; loads one at a time unless all stay in memory.</summary>
    internal void ForEachBlock(Action<IDecoderBlock> action)
    {
        if (Resident)
        {
            foreach (IDecoderBlock block in ResidentBlocks()) action(block);
            return;
        }
        for (int i = 0; i < Model.Config.Layers; i++)
        {
            using IDecoderBlock block = _loadBlock(i);
            action(block);
        }
        Model.Device.Trim();
    }

    /// <summary>Does something with a block; it is loaded for that unless all stay in memory.</summary>
    internal void WithBlock(int index, Action<IDecoderBlock> action)
    {
        if (Resident)
        {
            action(ResidentBlocks()[index]);
            return;
        }
        using (IDecoderBlock block = _loadBlock(index)) action(block);
        if (Model.Paging != WeightPaging.None) Model.Trim();
    }

    /// <summary>Embeds windows that then pass one block after the other; the caller's.</summary>
    /// <param name="windows">Token ids, at least one window; lengths may differ.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <param name="blocksStay">Whether the blocks that stay in memory are used, so that their place is not there for states.</param>
    /// <exception cref="EvaluationException">A window is empty or longer than the model's positions.</exception>
    internal ActivationStream Embed(IReadOnlyList<int[]> windows, CancellationToken cancellation, bool blocksStay = false)
    {
        Check(windows);
        var budget = new MemoryBudget(Math.Max(0, _options.Budget - (blocksStay && Resident ? WeightBytes(Model) : BlockBytes())));
        using InputEmbedding embedding = LoadEmbedding();
        using IDisposable rounding = Model.Device.With(Precision);
        return ActivationStream.Embed(Model, embedding, windows, new StreamOptions(budget, _options.Scratch, 1, _options.BatchTokens) { Cancellation = cancellation });
    }

    /// <summary>Takes windows through a block, which is loaded for them alone.</summary>
    /// <param name="stream">The windows, behind the block before it.</param>
    /// <param name="index">Number of the block.</param>
    /// <param name="see">Given every window's number and its output [length, hidden], in order; null for nobody.</param>
    /// <param name="progress">Told windows done; null for nobody.</param>
    /// <param name="cancellation">Ends the work.</param>
    internal void Advance(ActivationStream stream, int index, Action<int, Tensor>? see, Action<int>? progress, CancellationToken cancellation)
    {
        using (IDecoderBlock block = _loadBlock(index))
        using (Model.Device.With(Precision)) stream.Advance(block, see, cancellation, progress: progress);
        if (Model.Paging != WeightPaging.None) Model.Trim();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        ReleaseBlocks();
        _head?.Dispose();
        _head = null;
    }

    private void RunResident(
        IReadOnlyList<int[]> windows, Action<int, Tensor> consume, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        _embedding ??= LoadEmbedding();
        IDecoderBlock[] blocks = ResidentBlocks();
        int[][] all = [.. windows];
        foreach ((int first, int count) in Batches(windows))
        {
            int length = windows[first].Length;
            using Tensor x = Through(_embedding, blocks, all.AsSpan(first, count), cancellation);
            for (int i = 0; i < count; i++) consume(first + i, x.RowRange(i * length, length));
            progress?.Report(new EvaluationProgress("windows", first + count, windows.Count));
        }
    }

    private Tensor Through(InputEmbedding embedding, IDecoderBlock[] blocks, ReadOnlySpan<int[]> windows, CancellationToken cancellation)
    {
        using IDisposable rounding = Model.Device.With(Precision);
        return ActivationStream.Through(Model, embedding, blocks, windows, cancellation);
    }

    private IDecoderBlock[] ResidentBlocks()
    {
        if (_blocks is not null) return _blocks;
        var blocks = new IDecoderBlock[Model.Config.Layers];
        try
        {
            for (int i = 0; i < blocks.Length; i++) blocks[i] = _loadBlock(i);
        }
        catch
        {
            foreach (IDecoderBlock? block in blocks) block?.Dispose();
            throw;
        }
        return _blocks = blocks;
    }

    // Floats that the largest block takes as it is loaded.
    private long BlockBytes() => Model.Paging == WeightPaging.Linears ? Model.Layout.LargestBlock.Max(linear => linear.Weights) * sizeof(float)
        : Model.Layout.LargestBlock.Where(linear => Model.Paging == WeightPaging.None || !linear.IsExpert).Sum(linear => linear.Weights) * sizeof(float);

    private void RunStreaming(
        IReadOnlyList<int[]> windows, Action<int, Tensor> consume, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        int layers = Model.Config.Layers;
        using ActivationStream stream = Embed(windows, cancellation);
        Model.Device.Trim();
        for (int i = 0; i < layers; i++) Advance(stream, i, null, done => progress?.Report(new EvaluationProgress($"block {i + 1} of {layers}", done, windows.Count)), cancellation);
        Model.Device.Trim();
        using Tensor x = Model.Device.Empty(stream.Rows, stream.Columns);
        for (int i = 0; i < windows.Count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            Tensor window = x.RowRange(0, windows[i].Length);
            stream.Read(i, window);
            consume(i, window);
        }
    }

    private InputEmbedding LoadEmbedding() => EmbeddingSource?.Invoke() ?? Model.LoadEmbedding();

    private void Check(IReadOnlyList<int[]> windows)
    {
        foreach (int[] window in windows)
        {
            if (window.Length == 0 || window.Length > Model.Config.MaxPositions)
                throw new EvaluationException($"A window of {window.Length} tokens: the model takes 1 to {Model.Config.MaxPositions}.");
        }
    }

    /// <summary>Neighbours of one length; padding would cost as much as it saves and change nothing.</summary>
    private IEnumerable<(int First, int Count)> Batches(IReadOnlyList<int[]> windows)
    {
        for (int first = 0; first < windows.Count;)
        {
            int length = windows[first].Length, most = Math.Max(1, _options.BatchTokens / length), count = 1;
            while (count < most && first + count < windows.Count && windows[first + count].Length == length) count++;
            yield return (first, count);
            first += count;
        }
    }
}
