using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Models.Decoder.Layouts;

/// <summary>Notes which tensors a model asks for. Nothing is read; whoever asks gets a placeholder.</summary>
/// <param name="isStored">Whether files hold a tensor under a name.</param>
/// <param name="selection">Which linears are quantized; null for those of the family.</param>
internal sealed class TensorListing(Func<string, bool> isStored, LinearSelection? selection = null) : ITensorSource, IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly List<TensorSpec> _tensors = [];
    private readonly Dictionary<string, List<string>> _biases = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public Device Device => _device;

    /// <summary>What was asked for, in order.</summary>
    public IReadOnlyList<TensorSpec> Tensors => _tensors;

    /// <summary>Linears without a bias, by the key that could give them one.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Biases => _biases.ToDictionary(pair => pair.Key, IReadOnlyList<string> (pair) => pair.Value, StringComparer.Ordinal);

    /// <inheritdoc/>
    public bool IsStored(string name) => isStored(name);

    /// <inheritdoc/>
    public Tensor Load(TensorSpec spec)
    {
        _tensors.Add(spec);
        // As large as a placeholder has to be for whoever looks into it; norms and the like do not.
        return _device.Zeros(1);
    }

    /// <inheritdoc/>
    public Tensor Ones(int size) => _device.Zeros(1);

    /// <inheritdoc/>
    public RopeTables Tables(RopeConfig rope) => new(_device, rope);

    /// <inheritdoc/>
    public IWeightSource LoadWeight(TensorSpec spec, bool isExpert)
    {
        _tensors.Add(spec);
        return new Placeholder();
    }

    /// <inheritdoc/>
    public bool IsKept(string block, string linear, bool byDefault) => selection?.IsKept(block, linear, byDefault) ?? byDefault;

    /// <inheritdoc/>
    public void NoteMissingBias(string module, string key)
    {
        if (!_biases.TryGetValue(key, out List<string>? modules)) _biases[key] = modules = [];
        modules.Add(module);
    }

    /// <inheritdoc/>
    public void Dispose() => _device.Dispose();

    private sealed class Placeholder : IWeightSource
    {
        public Numerics.Autograd.Variable Weight(Numerics.Autograd.Tape tape) => throw new InvalidOperationException("A listed model has no weights.");

        public void Dispose()
        {
        }
    }
}
