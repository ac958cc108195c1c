using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// Windows of a text on their way through a model: the only place that embeds them, takes them through blocks and shows what comes out. Between two blocks they
/// lie in memory while the budget lasts, and on disk beyond it, together with what blocks get beside the stream (<see cref="BlockInputs"/>).
/// </summary>
public sealed class ActivationStream : IDisposable
{
    private readonly Device _device;
    private IReadOnlyList<int[]> _windows;
    private readonly ActivationStore _states;
    private readonly BlockInputs _inputs;
    private readonly StreamOptions _options;
    private readonly bool _ownsInputs;

    private ActivationStream(Device device, IReadOnlyList<int[]> windows, ActivationStore states, BlockInputs inputs, StreamOptions options, bool ownsInputs)
    {
        _device = device;
        _windows = windows;
        _states = states;
        _inputs = inputs;
        _options = options;
        _ownsInputs = ownsInputs;
    }

    /// <summary>Where blocks compute.</summary>
    internal Device Device => _device;

    /// <summary>Number of windows.</summary>
    public int Windows => _windows.Count;

    /// <summary>Positions of the longest window.</summary>
    public int Rows => _states.Rows;

    /// <summary>Width of the stream.</summary>
    public int Columns => _states.Columns;

    /// <summary>Positions of a window.</summary>
    public int LengthOf(int window) => _windows[window].Length;

    /// <summary>A stream of states that are there already, of a model whose blocks get nothing beside them.</summary>
    /// <param name="device">Where blocks compute.</param>
    /// <param name="states">The states; owned from now on.</param>
    /// <param name="options">Memory and batches.</param>
    internal static ActivationStream Of(Device device, ActivationStore states, StreamOptions options) => new(
        device, [.. Enumerable.Range(0, states.Windows).Select(_ => new int[states.Rows])], states, new BlockInputs(device, 1, states.Windows, states.Rows, 0, options), options,
        ownsInputs: true);

    /// <summary>Embeds windows; lengths may differ.</summary>
    /// <param name="model">The model.</param>
    /// <param name="windows">Token ids, at least one window.</param>
    /// <param name="options">Memory and batches.</param>
    /// <exception cref="CheckpointException">An id is beyond the vocabulary, or a window beyond the learned positions.</exception>
    public static ActivationStream Embed(CausalModel model, IReadOnlyList<int[]> windows, StreamOptions options)
    {
        using InputEmbedding embedding = model.LoadEmbedding();
        return Embed(model, embedding, windows, options);
    }

    /// <summary>Embeds windows with an embedding that is in memory already.</summary>
    /// <inheritdoc cref="Embed(CausalModel, IReadOnlyList{int[]}, StreamOptions)"/>
    public static ActivationStream Embed(CausalModel model, InputEmbedding embedding, IReadOnlyList<int[]> windows, StreamOptions options)
    {
        int rows = windows.Max(window => window.Length);
        var states = new ActivationStore(windows.Count, rows, model.Config.HiddenSize, options.Budget, options.Folder);
        var inputs = new BlockInputs(model.Device, model.Config.Layers, windows.Count, rows, embedding.PerLayerColumns, options);
        var stream = new ActivationStream(model.Device, windows, states, inputs, options, ownsInputs: true);
        try
        {
            stream.Refill(embedding, windows);
            return stream;
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Embeds other windows in the place of those that are there.</summary>
    /// <param name="embedding">The model's embedding.</param>
    /// <param name="windows">No more, and no longer, than the stream was made for.</param>
    public void Refill(InputEmbedding embedding, IReadOnlyList<int[]> windows)
    {
        _windows = windows;
        using Tensor x = _device.Empty(Rows, Columns);
        for (int i = 0; i < windows.Count; i++)
        {
            _options.Cancellation.ThrowIfCancellationRequested();
            Tensor window = x.RowRange(0, windows[i].Length);
            embedding.Embed(windows[i], window);
            Write(i, window);
            _inputs.Embed(i, windows[i], embedding, window);
        }
    }

    /// <summary>One batch of windows of one length through embedding and blocks that stay in memory, without keeping anything between them.</summary>
    /// <param name="model">The model.</param>
    /// <param name="embedding">Its embedding.</param>
    /// <param name="blocks">All its blocks.</param>
    /// <param name="windows">Token ids.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <returns>What comes out of the last block, [windows * length, hidden]; the caller's.</returns>
    public static Tensor Through(
        CausalModel model, InputEmbedding embedding, IReadOnlyList<IDecoderBlock> blocks, ReadOnlySpan<int[]> windows, CancellationToken cancellation)
    {
        int length = windows[0].Length, count = windows.Length;
        var ids = new int[count * length];
        for (int i = 0; i < count; i++) windows[i].CopyTo(ids, i * length);
        int[] positions = [.. Enumerable.Range(0, ids.Length).Select(row => row % length)];
        Tensor x = model.Device.Empty(ids.Length, model.Config.HiddenSize);
        try
        {
            using var inputs = new PassInputs(embedding, blocks.Count, ids, x, positions);
            ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(count, length));
            for (int i = 0; i < blocks.Count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                using var tape = new Tape(model.Device, recording: false);
                model.Device.Kernels.Copy(blocks[i].Forward(tape, new Variable(x), inputs.For(pass, i)).Value, x);
            }
            return x;
        }
        catch
        {
            x.Dispose();
            throw;
        }
    }

    /// <summary>Another stream at the same place, which goes on by itself; the blocks' own inputs, which do not change, are shared.</summary>
    public ActivationStream Fork()
    {
        var states = new ActivationStore(_states.Windows, _states.Rows, _states.Columns, _options.Budget, _options.Folder);
        var copy = new ActivationStream(_device, _windows, states, _inputs.Fork(), _options, ownsInputs: true);
        copy.CopyFrom(this);
        return copy;
    }

    /// <summary>A stream that keeps the states as they are while this one goes on; what blocks published is this one's.</summary>
    public ActivationStream Shadow() => new(
        _device, _windows, new ActivationStore(_states.Windows, _states.Rows, _states.Columns, _options.Budget, _options.Folder), _inputs, _options, ownsInputs: false);

    /// <summary>The first windows as they are, kept while this stream goes on; what blocks published is this one's.</summary>
    /// <param name="count">How many.</param>
    public ActivationStream First(int count)
    {
        var states = new ActivationStore(count, _states.Rows, _states.Columns, _options.Budget, _options.Folder);
        using Tensor x = _device.Empty(Rows, Columns);
        for (int i = 0; i < count; i++)
        {
            Tensor window = x.RowRange(0, LengthOf(i));
            _states.Read(i, window);
            states.Write(i, window);
        }
        return new ActivationStream(_device, [.. _windows.Take(count)], states, _inputs, _options, ownsInputs: false);
    }

    /// <summary>Takes over the states of another stream of the same windows.</summary>
    public void CopyFrom(ActivationStream other)
    {
        _windows = other._windows;
        using Tensor x = _device.Empty(Rows, Columns);
        for (int i = 0; i < Windows; i++)
        {
            Tensor window = x.RowRange(0, LengthOf(i));
            other._states.Read(i, window);
            _states.Write(i, window);
        }
    }

    /// <summary>A store for something else of the same windows, in memory or on disk as the states are; null where neither has room.</summary>
    /// <param name="columns">Its width.</param>
    internal ActivationStore? StoreWhereThereIsRoom(int columns) => ActivationStore.WhereThereIsRoom(Windows, Rows, columns, _options.Budget, _options.Folder);

    /// <summary>Reads a window into <paramref name="destination"/> [its length, hidden].</summary>
    public void Read(int window, Tensor destination) => _states.Read(window, destination);

    /// <summary>Writes a window from <paramref name="source"/> [its length, hidden].</summary>
    public void Write(int window, Tensor source) => _states.Write(window, source);

    /// <summary>A block's forward pass over windows of one length, which stay as they are.</summary>
    /// <param name="block">The block.</param>
    /// <param name="tape">Records where gradients are asked for.</param>
    /// <param name="windows">Numbers of windows of one length.</param>
    /// <param name="input">Their states, [windows * length, hidden], filled here.</param>
    /// <returns>The block's output, [windows * length, hidden].</returns>
    public Variable Forward(IDecoderBlock block, Tape tape, ReadOnlySpan<int> windows, Tensor input)
    {
        int length = LengthOf(windows[0]);
        for (int i = 0; i < windows.Length; i++) _states.Read(windows[i], input.RowRange(i * length, length));
        return block.Forward(tape, new Variable(input), _inputs.For(tape, block.Index, windows, length));
    }

    /// <summary>
    /// A window through a block and gradients back through it, those included that pass through keys and values from later blocks to earlier ones; blocks go from the
    /// last to the first.
    /// </summary>
    /// <param name="block">The block.</param>
    /// <param name="window">Number of the window.</param>
    /// <param name="input">Filled with its states, [length, hidden].</param>
    /// <param name="slope">The gradient of what comes out.</param>
    /// <param name="gradient">Gets the gradient of the states.</param>
    public void Differentiate(IDecoderBlock block, int window, Tensor input, Tensor slope, Tensor gradient)
    {
        _states.Read(window, input);
        using var tape = new Tape(_device, recording: true);
        BlockInputs.Sloped pass = _inputs.ForGradients(tape, block.Index, window, LengthOf(window));
        tape.Backward(block.Forward(tape, new Variable(input, gradient), pass.Pass), slope);
        pass.Keep();
    }

    /// <summary>Begins a pass of gradients back through all blocks.</summary>
    public void BeginGradients() => _inputs.ClearSlopes();

    /// <summary>Takes windows through a block without changing them.</summary>
    /// <param name="block">The block.</param>
    /// <param name="first">The first window.</param>
    /// <param name="count">How many.</param>
    /// <param name="see">Given every window's number and its output [length, hidden], valid during the call; in order.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="batch">Windows that pass together; null for the stream's own.</param>
    public void Look(IDecoderBlock block, int first, int count, Action<int, Tensor> see, CancellationToken cancellation, int? batch = null) =>
        Pass(block, first, count, see, keep: false, batch, null, cancellation);

    /// <summary>Takes all windows through a block; the stream then holds what comes out.</summary>
    /// <param name="block">The block.</param>
    /// <param name="see">Given every window's number and its output before it is kept; null for nobody.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="batch">Windows that pass together; null for the stream's own.</param>
    /// <param name="progress">Told windows done; null for nobody.</param>
    public void Advance(IDecoderBlock block, Action<int, Tensor>? see, CancellationToken cancellation, int? batch = null, Action<int>? progress = null) =>
        Pass(block, 0, Windows, see, keep: true, batch, progress, cancellation);

    /// <inheritdoc/>
    public void Dispose()
    {
        _states.Dispose();
        if (_ownsInputs) _inputs.Dispose();
    }

    private void Pass(
        IDecoderBlock block, int first, int count, Action<int, Tensor>? see, bool keep, int? together, Action<int>? progress, CancellationToken cancellation)
    {
        for (int start = first; start < first + count;)
        {
            cancellation.ThrowIfCancellationRequested();
            int length = LengthOf(start), most = Math.Min(together ?? _options.BatchFor(length), first + count - start), batch = 1;
            while (batch < most && LengthOf(start + batch) == length) batch++;
            int[] windows = [.. Enumerable.Range(start, batch)];
            using Tensor input = _device.Empty(batch * length, Columns);
            using var tape = new Tape(_device, recording: false);
            using BlockInputs.Kept kept = _inputs.Watch(block.Index, windows, length, keep);
            for (int i = 0; i < batch; i++) _states.Read(windows[i], input.RowRange(i * length, length));
            Tensor output = block.Forward(tape, new Variable(input), kept.Pass(tape)).Value;
            for (int i = 0; i < batch; i++)
            {
                Tensor window = output.RowRange(i * length, length);
                see?.Invoke(windows[i], window);
                if (keep) _states.Write(windows[i], window);
            }
            start += batch;
            progress?.Invoke(start);
        }
    }
}

/// <summary>Memory and batches of a stream.</summary>
/// <param name="Budget">Memory to take, when it is there.</param>
/// <param name="Folder">Where states go when it is not.</param>
/// <param name="Batch">Windows that pass a block together.</param>
/// <param name="BatchTokens">Tokens that do; the more windows of the two counts.</param>
public sealed record StreamOptions(MemoryBudget Budget, string Folder, int Batch = 1, int BatchTokens = 0)
{
    /// <summary>Asks to stop.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>Windows of a length that pass a block together.</summary>
    public int BatchFor(int length) => Math.Max(Batch, BatchTokens / Math.Max(1, length));
}
