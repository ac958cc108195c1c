using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>
/// The loss of tuning: the mean over tokens that count of KL(p || q), p the next-token distribution of the full-precision model and q that of the quantized one.
/// What the full-precision model says is kept as its last hidden states, from which the head makes logits again for a few tokens at a time.
/// </summary>
internal sealed class TuningLoss : IDisposable
{
    // Logits of some tokens at a time: a vocabulary is large, and rows do not depend on each other. Every product reads the whole head, so more than these few where they fit.
    private const int LeastRows = 128, MostRows = 512;
    private const long MostLogits = 1 << 25;

    private readonly CausalModel _model;
    private readonly InputEmbedding _embedding;
    private readonly OutputHead _head;
    private readonly InputEmbedding? _storedEmbedding;
    private readonly OutputHead? _storedHead;
    private readonly int[][] _windows;
    private readonly bool[][]? _masks;
    private readonly ActivationStream _expected;
    private readonly StreamedPasses _passes;
    private readonly Tensor _reference;
    private readonly Func<int, IDecoderBlock> _load;
    private readonly MemoryBudget _budget;
    private readonly int _batch;

    /// <summary>Computes what the full-precision model says about all windows.</summary>
    /// <param name="model">The model in full precision.</param>
    /// <param name="calibration">Windows to train on, all that there are, are numbered first, and held-out ones after them.</param>
    /// <param name="batch">Most windows of one step.</param>
    /// <param name="budget">Memory for activations.</param>
    /// <param name="scratch">Where they go when it is not enough.</param>
    /// <param name="vocabulary">Embedding and head of the quantized model; null where it has those of the original.</param>
    /// <param name="load">Gives a block of the quantized model.</param>
    /// <param name="progress">Told the number of blocks done.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public TuningLoss(
        CausalModel model, CalibrationSet calibration, int batch, MemoryBudget budget, string scratch, VocabularyStore? vocabulary, Func<int, IDecoderBlock> load,
        Action<int> progress, CancellationToken cancellation)
    {
        _model = model;
        _batch = batch;
        _load = load;
        _budget = budget;
        _windows = [.. calibration.Windows, .. calibration.MoreWindows, .. calibration.HeldOutWindows];
        int training = calibration.Windows.Length, judged = training + calibration.HeldOutWindows.Length;
        _masks = calibration.Masks is { } masks ? [.. masks[..training], .. masks[judged..], .. masks[training..judged]] : null;
        int length = calibration.SequenceLength, hidden = model.Config.HiddenSize;
        _embedding = model.LoadEmbedding();
        _head = model.LoadHead();
        _storedEmbedding = vocabulary?.LoadEmbedding();
        _storedHead = vocabulary?.LoadHead();
        _reference = model.Device.Empty(length, hidden);
        _expected = ActivationStream.Embed(model, _embedding, _windows, new StreamOptions(budget, scratch) { Cancellation = cancellation });
        _passes = new StreamedPasses(model, QuantizedEmbedding, _windows[..Math.Min(batch, _windows.Length)], budget, scratch);
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            _expected.Advance(block, null, cancellation);
            progress(i + 1);
        }
    }

    /// <summary>Tokens whose logits are there at a time.</summary>
    /// <param name="vocabulary">Logits of one token.</param>
    internal static int HeadRows(int vocabulary) => (int)Math.Clamp(MostLogits / vocabulary, LeastRows, MostRows);

    /// <summary>Mean loss of the tokens that count in windows first to first + count; 0 where there is none.</summary>
    public double Mean(int first, int count, CancellationToken cancellation)
    {
        var sum = new WindowSum(count);
        long tokens = Enumerable.Range(first, count).Sum(window => (long)TokensOf(window));
        if (tokens == 0) return 0;
        for (int start = first; start < first + count; start += _batch)
        {
            int[] numbers = [.. Enumerable.Range(start, Math.Min(_batch, first + count - start))];
            Forward(numbers, cancellation);
            using Tensor hidden = _model.Device.Empty(_reference.Rows, _reference.Columns);
            for (int w = 0; w < numbers.Length; w++)
            {
                _passes.Last.Read(w, hidden);
                sum.Add(Divergence(numbers[w], hidden, null, (float)((double)count / tokens)));
            }
        }
        return sum.Total / count;
    }

    /// <summary>The loss of a batch of windows, and its gradients in the variables of the blocks' weights.</summary>
    public double Gradients(ReadOnlySpan<int> windows, CancellationToken cancellation)
    {
        int[] numbers = windows.ToArray();
        using var shelf = new BlockShelf(_budget);
        Forward(numbers, cancellation, shelf);
        double sum = 0;
        _passes.Head(
            (window, hidden, gradient) => sum += Divergence(numbers[window], hidden, gradient, 1f / ((float)numbers.Length * hidden.Rows)), cancellation);
        _passes.Backward(_load, cancellation, finish: Finish, shelf: shelf);
        return sum;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _passes.Dispose();
        _expected.Dispose();
        _reference.Dispose();
        _head.Dispose();
        _embedding.Dispose();
        _storedHead?.Dispose();
        _storedEmbedding?.Dispose();
    }

    // Weights that were made once for all windows of a step pass their gradients on.
    private static void Finish(IDecoderBlock block)
    {
        foreach (TunedCodes codes in block.Slots.Select(slot => slot.Weight).OfType<TunedCodes>()) codes.Finish();
    }

    private InputEmbedding QuantizedEmbedding => _storedEmbedding ?? _embedding;

    private void Forward(int[] numbers, CancellationToken cancellation, BlockShelf? shelf = null) =>
        _passes.Forward([.. numbers.Select(number => _windows[number])], QuantizedEmbedding, _load, cancellation, shelf: shelf);

    private int TokensOf(int window) => _masks?[window].Count(counts => counts) ?? _windows[window].Length;

    private double Divergence(int window, Tensor hidden, Tensor? gradient, float scale)
    {
        _expected.Read(window, _reference);
        bool[]? mask = _masks?[window];
        double sum = 0;
        if (gradient is null) MaskedRows.See(hidden, mask, states => Add(states, null));
        else MaskedRows.Differentiate(hidden, gradient, mask, Add);
        return sum;

        void Add(Tensor states, Tensor? slopes) => MaskedRows.See(_reference, mask, expected => sum += Divergence(states, expected, slopes, scale));
    }

    // Of rows of hidden states, and of those of the full-precision model.
    private double Divergence(Tensor hidden, Tensor reference, Tensor? gradient, float scale)
    {
        double sum = 0;
        int rows = HeadRows(_model.Config.VocabularySize);
        for (int row = 0; row < hidden.Rows; row += rows)
        {
            int count = Math.Min(rows, hidden.Rows - row);
            using Tape constant = new(_model.Device, recording: false), tape = new(_model.Device, recording: gradient is not null);
            Tensor expected = _head.Logits(constant, new Variable(reference.RowRange(row, count))).Value, x = hidden.RowRange(row, count);
            Variable input = gradient is null ? new Variable(x) : new Variable(x, gradient.RowRange(row, count));
            sum += tape.KlDivergenceAndBackward((_storedHead ?? _head).Logits(tape, input), expected, scale);
        }
        return sum;
    }
}
