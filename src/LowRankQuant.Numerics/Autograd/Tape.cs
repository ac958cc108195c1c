namespace LowRankQuant.Numerics.Autograd;

/// <summary>
/// Records operations as they run and plays their gradients back in reverse order. Tensors rented from the tape live until it is disposed.
/// A tape that does not record computes values only. Not for use by several threads at once.
/// </summary>
public sealed class Tape : IDisposable
{
    private readonly List<(Variable Output, Action Backward)> _operations = [];
    private readonly List<Tensor> _rented = [];
    private Dictionary<(object Owner, Variable X), object>? _shared;

    /// <summary>Starts an empty tape.</summary>
    /// <param name="device">Where the operations run.</param>
    /// <param name="recording">Whether gradients will be asked for.</param>
    public Tape(Device device, bool recording)
    {
        Device = device;
        Recording = recording;
        Precision = device.Precision;
    }

    /// <summary>Where the operations run.</summary>
    public Device Device { get; }

    /// <summary>What products of linear layers are rounded to, forward and backward.</summary>
    public Precision Precision { get; }

    /// <summary>Whether operations are recorded.</summary>
    public bool Recording { get; }

    /// <summary>
    /// First rows of the windows that matrices of activations consist of, and behind them the number of rows; null for one window. Gradients of weights
    /// and losses are summed window by window in this order, each sum by itself before it is added, so that it does not matter which machine a window is on.
    /// </summary>
    public int[]? Windows { get; set; }

    internal IKernels Kernels => Device.Kernels;

    /// <summary>A tensor of undefined contents that lives as long as the tape.</summary>
    public Tensor Rent(params ReadOnlySpan<int> shape)
    {
        Tensor tensor = Device.Empty(shape);
        _rented.Add(tensor);
        return tensor;
    }

    /// <summary>
    /// What <paramref name="owner"/> makes of <paramref name="x"/>, made for the first of those who ask for it: linears that share an input share its quantized form too, and its
    /// gradient is the sum of theirs. Forgotten with the recorded operations.
    /// </summary>
    public T Once<T>(object owner, Variable x, Func<T> make)
        where T : class
    {
        _shared ??= [];
        if (_shared.TryGetValue((owner, x), out object? known)) return (T)known;
        T made = make();
        _shared[(owner, x)] = made;
        return made;
    }

    /// <summary>Runs the gradients of all recorded operations, last to first, starting from <paramref name="seed"/> = dloss/d<paramref name="output"/>.</summary>
    /// <exception cref="InvalidOperationException">The tape does not record.</exception>
    public void Backward(Variable output, Tensor seed)
    {
        if (!Recording) throw new InvalidOperationException("This tape does not record; create it with recording: true.");
        Kernels.Copy(seed, output.GradientTarget(this, out _));
        BackwardFromGradients();
    }

    /// <summary>Runs all recorded gradients from variables whose gradient is already set, such as the input of a loss.</summary>
    internal void BackwardFromGradients()
    {
        for (int i = _operations.Count - 1; i >= 0; i--)
        {
            (Variable result, Action backward) = _operations[i];
            if (!result.HasGradient) continue;
            backward();
            // Nothing recorded earlier can read this gradient: its memory serves the next one while it is still in cache.
            result.ReleaseGradient();
        }
        _operations.Clear();
        _shared?.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _operations.Clear();
        _shared?.Clear();
        foreach (Tensor tensor in _rented) tensor.Dispose();
        _rented.Clear();
    }

    internal Variable Output(Tensor value, bool requiresGradient) => new(value, Recording && requiresGradient);

    internal Tensor RentGradient(ReadOnlySpan<int> shape) => Device.Empty(shape);

    internal void Record(Variable output, Action backward)
    {
        if (output.RequiresGradient) _operations.Add((output, backward));
    }
}
