using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
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
    private readonly Dictionary<int, (ActivationStore Keys, ActivationStore Values)> _slopes = [];
    private readonly HashSet<(int Block, int Window)> _sloped = [];

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

    /// <summary>Forgets the gradients of what blocks published, before a new pass back through all blocks.</summary>
    public void ClearSlopes() => _sloped.Clear();

    /// <summary>A pass of one window through a block whose gradients go back through what earlier blocks published, and come back from later ones.</summary>
    public Sloped ForGradients(Tape tape, int block, int window, int length) => new(this, tape, block, window, length);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_ownsPerLayer) _perLayer?.Dispose();
        foreach ((ActivationStore keys, ActivationStore values) in _published.Values.Concat(_slopes.Values))
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
        foreach ((int block, (ActivationStore keys, ActivationStore stored)) in _published) values.Lend(block, new Variable(Gather(tape, keys, windows, length)), new Variable(Gather(tape, stored, windows, length)));
        return values;
    }

    private static Tensor Gather(Tape tape, ActivationStore store, ReadOnlySpan<int> windows, int length)
    {
        Tensor rows = tape.Rent(windows.Length * length, store.Columns);
        for (int i = 0; i < windows.Length; i++) store.Read(windows[i], rows.RowRange(i * length, length));
        return rows;
    }

    private ActivationStore Create(int columns) => new(_windows, _rows, columns, _options.Budget, _options.Folder);

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

    /// <summary>The inputs of one window, and the gradients of what earlier blocks published.</summary>
    internal sealed class Sloped
    {
        private readonly BlockInputs _inputs;
        private readonly int _window;
        private readonly Dictionary<int, (Tensor Keys, Tensor Values)> _given = [];

        public Sloped(BlockInputs inputs, Tape tape, int block, int window, int length)
        {
            _inputs = inputs;
            _window = window;
            var values = new PublishedValues { IsFixed = true };
            foreach ((int earlier, (ActivationStore keys, ActivationStore stored)) in inputs._published)
            {
                (Tensor keySlope, Tensor valueSlope) = (Zeros(tape, length, keys.Columns), Zeros(tape, length, stored.Columns));
                _given[earlier] = (keySlope, valueSlope);
                values.Lend(earlier, new Variable(Gather(tape, keys, [window], length), keySlope), new Variable(Gather(tape, stored, [window], length), valueSlope));
            }
            if (inputs._sloped.Contains((block, window)))
            {
                (ActivationStore keys, ActivationStore stored) = inputs._slopes[block];
                values.LendSlopes(block, Gather(tape, keys, [window], length), Gather(tape, stored, [window], length));
            }
            Pass = ForwardPass.OfWindows(new SequenceShape(1, length)).With(inputs.PerLayer(tape, block, [window], length), values);
        }

        /// <summary>The pass.</summary>
        public ForwardPass Pass { get; }

        /// <summary>Adds the gradients that the pass gave to those of later blocks; before the tape is disposed of.</summary>
        public void Keep()
        {
            foreach ((int block, (Tensor keys, Tensor values)) in _given)
            {
                if (!_inputs._slopes.TryGetValue(block, out (ActivationStore Keys, ActivationStore Values) stores))
                    _inputs._slopes[block] = stores = (_inputs.Create(keys.Columns), _inputs.Create(values.Columns));
                Add(block, stores.Keys, keys);
                Add(block, stores.Values, values);
                _inputs._sloped.Add((block, _window));
            }
        }

        private static Tensor Zeros(Tape tape, int rows, int columns)
        {
            Tensor zeros = tape.Rent(rows, columns);
            tape.Device.Kernels.Fill(zeros, 0);
            return zeros;
        }

        private void Add(int block, ActivationStore store, Tensor slopes)
        {
            if (_inputs._sloped.Contains((block, _window)))
            {
                using Tensor sum = slopes.Device.Empty(slopes.Shape);
                store.Read(_window, sum);
                slopes.Device.Kernels.AddScaled(sum, 1, slopes);
            }
            store.Write(_window, slopes);
        }
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

        private void Store((Variable Keys, Variable Values) rows)
        {
            (Tensor keys, Tensor values) = (rows.Keys.Value, rows.Values.Value);
            if (!inputs._published.TryGetValue(block, out (ActivationStore Keys, ActivationStore Values) stores))
            {
                stores = (inputs.Create(keys.Columns), inputs.Create(values.Columns));
                inputs._published[block] = stores;
            }
            for (int i = 0; i < windows.Length; i++)
            {
                stores.Keys.Write(windows[i], keys.RowRange(i * length, length));
                stores.Values.Write(windows[i], values.RowRange(i * length, length));
            }
        }
    }
}
