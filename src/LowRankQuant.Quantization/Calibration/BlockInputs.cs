using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// What blocks get beside the stream, window by window: their own inputs, which the embedding makes once, and keys and values that earlier blocks published.
/// Both lie in memory while the budget lasts, and on disk beyond it. Most families have neither.
/// </summary>
internal sealed class BlockInputs : IDisposable
{
    private readonly Device _device;
    private readonly int _layers;
    private readonly int _windows;
    private readonly int _rows;
    private readonly StreamOptions _options;
    private readonly ActivationStore? _perLayer;
    private readonly bool _ownsPerLayer;
    private readonly Dictionary<int, (ActivationStore Keys, ActivationStore Values)> _published = [];

    /// <summary>Room for the inputs of windows.</summary>
    public BlockInputs(Device device, int layers, int windows, int rows, int perLayerColumns, StreamOptions options)
        : this(device, layers, windows, rows, options, perLayerColumns == 0 ? null : new ActivationStore(windows, rows, perLayerColumns, options.Budget, options.Folder), true)
    {
    }

    private BlockInputs(Device device, int layers, int windows, int rows, StreamOptions options, ActivationStore? perLayer, bool ownsPerLayer)
    {
        _device = device;
        _layers = layers;
        _windows = windows;
        _rows = rows;
        _options = options;
        _perLayer = perLayer;
        _ownsPerLayer = ownsPerLayer;
    }

    /// <summary>Makes a window's own inputs of all blocks.</summary>
    public void Embed(int window, int[] ids, InputEmbedding embedding, Tensor x)
    {
        if (_perLayer is null) return;
        using Tensor all = x.Device.Empty(ids.Length, _perLayer.Columns);
        embedding.EmbedPerLayer(ids, x, all);
        _perLayer.Write(window, all);
    }

    /// <summary>The inputs of a stream that goes on by itself.</summary>
    public BlockInputs Fork()
    {
        var fork = new BlockInputs(_device, _layers, _windows, _rows, _options, _perLayer, false);
        foreach ((int block, (ActivationStore keys, ActivationStore values)) in _published) fork._published[block] = (Copy(keys), Copy(values));
        return fork;
    }

    /// <summary>A pass over windows of one length through a block, with what it gets; valid as long as the tape.</summary>
    public ForwardPass For(Tape tape, int block, ReadOnlySpan<int> windows, int length) =>
        ForwardPass.OfWindows(new SequenceShape(windows.Length, length)).With(PerLayer(tape, block, windows, length), Published(tape, windows, length, isFixed: true));

    /// <summary>As <see cref="For"/>, keeping what the block publishes when it is disposed of.</summary>
    public Kept Watch(int block, int[] windows, int length, bool keep) => new(this, block, windows, length, keep);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_ownsPerLayer) _perLayer?.Dispose();
        foreach ((ActivationStore keys, ActivationStore values) in _published.Values)
        {
            keys.Dispose();
            values.Dispose();
        }
    }

    private Tensor? PerLayer(Tape tape, int block, ReadOnlySpan<int> windows, int length)
    {
        if (_perLayer is null) return null;
        int n = _perLayer.Columns / _layers;
        Tensor inputs = tape.Rent(windows.Length * length, n);
        using Tensor all = _device.Empty(length, _perLayer.Columns);
        for (int i = 0; i < windows.Length; i++)
        {
            _perLayer.Read(windows[i], all);
            using Tensor columns = PassInputs.ColumnsOf(all, _layers, block);
            _device.Kernels.Copy(columns, inputs.RowRange(i * length, length));
        }
        return inputs;
    }

    private PublishedValues Published(Tape tape, ReadOnlySpan<int> windows, int length, bool isFixed)
    {
        var values = new PublishedValues { IsFixed = isFixed };
        foreach ((int block, (ActivationStore keys, ActivationStore stored)) in _published) values.Lend(block, Gather(tape, keys, windows, length), Gather(tape, stored, windows, length));
        return values;
    }

    private static Tensor Gather(Tape tape, ActivationStore store, ReadOnlySpan<int> windows, int length)
    {
        Tensor rows = tape.Rent(windows.Length * length, store.Columns);
        for (int i = 0; i < windows.Length; i++) store.Read(windows[i], rows.RowRange(i * length, length));
        return rows;
    }

    private ActivationStore Copy(ActivationStore from)
    {
        var copy = new ActivationStore(_windows, _rows, from.Columns, _options.Budget, _options.Folder);
        using Tensor x = _device.Empty(_rows, from.Columns);
        for (int i = 0; i < _windows; i++)
        {
            from.Read(i, x);
            copy.Write(i, x);
        }
        return copy;
    }

    /// <summary>The inputs of one batch, and what its pass publishes.</summary>
    internal sealed class Kept(BlockInputs inputs, int block, int[] windows, int length, bool keep) : IDisposable
    {
        private PublishedValues? _values;

        /// <summary>The pass.</summary>
        public ForwardPass Pass(Tape tape)
        {
            _values = inputs.Published(tape, windows, length, isFixed: false);
            return ForwardPass.OfWindows(new SequenceShape(windows.Length, length)).With(inputs.PerLayer(tape, block, windows, length), _values);
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            if (_values is null) return;
            if (keep && _values.HasOwn(block)) Store(_values.Get(block));
            _values.Dispose();
        }

        private void Store((Tensor Keys, Tensor Values) rows)
        {
            if (!inputs._published.TryGetValue(block, out (ActivationStore Keys, ActivationStore Values) stores))
            {
                stores = (Create(rows.Keys.Columns), Create(rows.Values.Columns));
                inputs._published[block] = stores;
            }
            for (int i = 0; i < windows.Length; i++)
            {
                stores.Keys.Write(windows[i], rows.Keys.RowRange(i * length, length));
                stores.Values.Write(windows[i], rows.Values.RowRange(i * length, length));
            }
        }

        private ActivationStore Create(int columns) => new(inputs._windows, inputs._rows, columns, inputs._options.Budget, inputs._options.Folder);
    }
}
