using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>How a Hugging Face folder stores its quantized linears: one class per container.</summary>
public abstract class QuantizedContainer
{
    private readonly HashSet<string> _modules;
    private readonly Lazy<Dictionary<string, long>> _storedBits;

    /// <summary>A container.</summary>
    /// <param name="tensors">The folder's tensors.</param>
    /// <param name="modules">Quantized modules.</param>
    protected QuantizedContainer(SafetensorsFolder tensors, IEnumerable<string> modules)
    {
        Tensors = tensors;
        _modules = new HashSet<string>(modules, StringComparer.Ordinal);
        _storedBits = new Lazy<Dictionary<string, long>>(CountBits);
    }

    /// <summary>Name of the container as <c>quant_method</c> or <c>to</c> say it.</summary>
    public abstract string Name { get; }

    /// <summary>What a folder of the container is called in reports.</summary>
    public virtual string Kind => $"{Name} folder";

    /// <summary>Quantized modules, in no particular order.</summary>
    public IReadOnlyCollection<string> Modules => _modules;

    /// <summary>Stored type of the scales; null when nothing is quantized, or scales are of no such type.</summary>
    public virtual ScaleType? ScaleType
    {
        get
        {
            if (_modules.Count == 0 || !Tensors.Tensors.TryGetValue(_modules.First() + ScaleSuffix, out TensorEntry? scales)) return null;
            return scales.Type is SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16 ? scales.Type.ToScaleType() : null;
        }
    }

    /// <summary>Quantizers of activations or of the key-value cache, which belong to the model; null without.</summary>
    public virtual RuntimeQuantizers? Quantizers => null;

    /// <summary>What the user should know about how the folder is read. A sentence each.</summary>
    public virtual IReadOnlyList<string> Warnings => [];

    /// <summary>The folder's tensors.</summary>
    protected SafetensorsFolder Tensors { get; }

    /// <summary>End of the names of scales.</summary>
    protected abstract string ScaleSuffix { get; }

    /// <summary>Ends of the names of the tensors that a quantized module consists of, beside its bias.</summary>
    protected abstract IReadOnlyList<string> Parts { get; }

    /// <summary>Whether a tensor of a quantized module is one that the container has a meaning for.</summary>
    public virtual bool Knows(string tensor) => Parts.Contains(tensor[(tensor.LastIndexOf('.') + 1)..]);

    /// <summary>Whether a module is quantized.</summary>
    public bool Holds(string module) => _modules.Contains(module);

    /// <summary>Whether a tensor is a part of a quantized module, or of another quantizer, and no tensor of the model by itself. A bias is one.</summary>
    public virtual bool Owns(string tensor)
    {
        int dot = tensor.LastIndexOf('.');
        return dot > 0 && _modules.Contains(tensor[..dot]) && tensor[(dot + 1)..] != "bias";
    }

    /// <summary>Rows and columns of a quantized module.</summary>
    /// <exception cref="CheckpointFormatException">Its tensors are unsound.</exception>
    public abstract (int OutFeatures, int InFeatures) ShapeOf(string module);

    /// <summary>Codes, scales and zero points of a quantized module; null when its values lie on no uniform grid.</summary>
    /// <exception cref="CheckpointFormatException">Its tensors are unsound.</exception>
    public abstract OrderedWeight? Read(string module);

    /// <summary>A quantized module on whatever grid it has, its columns in natural order; null when it has none, or another order.</summary>
    /// <exception cref="CheckpointFormatException">Its tensors are unsound.</exception>
    public virtual QuantizedWeight? ReadQuantized(string module) => Read(module) is { Columns: null } natural ? natural.Weight : null;

    /// <summary>What a quantized module is stored as where that is no grid, such as <c>MXFP4</c>; null for one on a grid.</summary>
    public virtual string? FloatTypeOf(string module) => null;

    /// <summary>About what rounding a module to its codes lost, relative to the weight; null where that is not known.</summary>
    public virtual double? RelativeLossOf(string module) => Read(module) is { } read ? StoredLoss.Of(read.Weight) : null;

    /// <summary>Values of a quantized module in 32-bit floats: exact, unless the container itself rounds on the way.</summary>
    /// <exception cref="CheckpointFormatException">Its tensors are unsound.</exception>
    public virtual void ReadSingles(string module, Span<float> destination) => Read(module)!.Dequantize(destination);

    /// <summary>Values as the engines of the container compute with them, rounded as its golden README says: T((q - z) s) for most.</summary>
    /// <exception cref="CheckpointFormatException">Its tensors are unsound.</exception>
    public virtual void ReadRounded(string module, Span<float> destination) => Round(Read(module)!, destination);

    /// <summary>Values as the engines of the container would compute with them for a weight of another source, by the same rule.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="destination">[out, in].</param>
    public virtual void Round(OrderedWeight weight, Span<float> destination)
    {
        weight.Dequantize(destination);
        ScaleType type = ScaleType ?? weight.Weight.ScaleType;
        for (int i = 0; i < destination.Length; i++) destination[i] = StorageScale.RoundAny(destination[i], type);
    }

    /// <summary>The same of a weight with float minima.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="destination">[out, in].</param>
    public virtual void Round(AffineWeight weight, Span<float> destination) => weight.Dequantize(destination);

    /// <summary>
    /// Bits of a quantized module in the file: codes, scales, zero points or biases as they are packed, the groups of its columns and quantizers of its
    /// activations where it has them. Not its bias, and not the two integers that repeat its shape.
    /// </summary>
    public long StoredBitsOf(string module) => _storedBits.Value[module];

    private Dictionary<string, long> CountBits()
    {
        Dictionary<string, long> bits = _modules.ToDictionary(module => module, _ => 0L, StringComparer.Ordinal);
        foreach (string tensor in Tensors.Names)
        {
            int dot = tensor.LastIndexOf('.');
            if (dot <= 0 || tensor[(dot + 1)..] is "bias" or "weight_shape" || !bits.TryGetValue(tensor[..dot], out long sum)) continue;
            bits[tensor[..dot]] = sum + (8 * Tensors.Tensors[tensor].ByteLength);
        }
        return bits;
    }

    /// <summary>The name by which the files have a module, which their configuration may speak of; else the same as its own.</summary>
    protected string StoredName(string module) => Tensors.Contains(module + ScaleSuffix)
        && Tensors.StoredNameOf(module + ScaleSuffix) is { } stored && stored.EndsWith(ScaleSuffix, StringComparison.Ordinal) ? stored[..^ScaleSuffix.Length] : module;

    /// <summary>Modules that have a tensor with a name ending so.</summary>
    protected static IEnumerable<string> ModulesWith(SafetensorsFolder tensors, string suffix) =>
        tensors.Names.Where(name => name.EndsWith(suffix, StringComparison.Ordinal)).Select(name => name[..^suffix.Length]);
}
