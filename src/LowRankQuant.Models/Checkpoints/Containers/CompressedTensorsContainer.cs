using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>
/// compressed-tensors: integers (<c>pack-quantized</c>, <c>int-quantized</c>, <c>naive-quantized</c>) and floats (<c>float-quantized</c>, <c>mxfp4-pack-quantized</c>,
/// <c>nvfp4-pack-quantized</c>, <c>mxfp8-quantized</c>), also mixed.
/// </summary>
internal sealed class CompressedTensorsContainer : QuantizedContainer
{
    private const string Scale = ".weight_scale";
    private static readonly string[] CacheParts = ["k_scale", "v_scale", "k_zero_point", "v_zero_point"];
    private static readonly string[] ActivationParts = ["input_scale", "input_zero_point", "output_scale", "output_zero_point", "input_global_scale"];
    private readonly CompressedTensorsConfig _config;
    private readonly Dictionary<string, IFloatLayout> _floats = new(StringComparer.Ordinal);

    private CompressedTensorsContainer(SafetensorsFolder tensors, CompressedTensorsConfig config)
        : base(tensors, ModulesWith(tensors, Scale))
    {
        _config = config;
        foreach (string module in Modules)
        {
            QuantizationScheme scheme = SchemeOf(module);
            if (scheme.Weights?.ToMicroFormat() is { } micro) _floats.Add(module, MicroLayout.OfCompressedTensors(tensors, module, micro));
            else if (scheme.Weights is { IsFloat8: true } weights) _floats.Add(module, Float8Layout.Find(tensors, module, weights.Block)!);
        }
        Quantizers = FindQuantizers();
    }

    /// <inheritdoc/>
    public override string Name => CompressedTensorsConfig.QuantMethod;

    /// <inheritdoc/>
    public override RuntimeQuantizers? Quantizers { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Warnings => Quantizers is { AreDynamicFloats: true } inputs
        ? [$"{inputs.Description} are left out: inputs are computed in full, and a result does not ask an engine to quantize them."]
        : [];

    /// <inheritdoc/>
    protected override string ScaleSuffix => Scale;

    /// <inheritdoc/>
    protected override IReadOnlyList<string> Parts =>
        ["weight", "weight_packed", "weight_scale", "weight_zero_point", "weight_global_scale", "weight_shape", "weight_g_idx", .. ActivationParts, .. CacheParts];

    /// <summary>Reads the configuration and finds the quantized modules.</summary>
    /// <exception cref="CheckpointFormatException">An unsound configuration, or one of a format that is not read.</exception>
    public static CompressedTensorsContainer Open(JsonElement config, string file, SafetensorsFolder tensors)
    {
        CompressedTensorsConfig parsed = CompressedTensorsConfig.Parse(config, file);
        foreach (QuantizationScheme scheme in parsed.Schemes) CompressedTensorsReader.CheckReadable(scheme, file);
        return new CompressedTensorsContainer(tensors, parsed);
    }

    /// <inheritdoc/>
    public override bool Owns(string tensor) => base.Owns(tensor) || IsCachePart(tensor);

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => _floats.TryGetValue(module, out IFloatLayout? floats)
        ? (floats.OutFeatures, floats.InFeatures)
        : CompressedTensorsReader.ShapeOf(Tensors, module, SchemeOf(module));

    /// <inheritdoc/>
    public override OrderedWeight? Read(string module) =>
        _floats.ContainsKey(module) ? null : CompressedTensorsReader.ReadOrdered(Tensors, module, SchemeOf(module), _config);

    /// <inheritdoc/>
    public override QuantizedWeight? ReadQuantized(string module) => !_floats.TryGetValue(module, out IFloatLayout? floats) ? base.ReadQuantized(module)
        : SchemeOf(module).Weights!.ToFloatGrid() is { } grid && grid.Divides(floats.InFeatures) ? FloatTensors.Read(Tensors, module, grid) : null;

    /// <inheritdoc/>
    public override string? FloatTypeOf(string module) => _floats.TryGetValue(module, out IFloatLayout? floats) ? floats.Describe(Tensors) : null;

    /// <inheritdoc/>
    public override double? RelativeLossOf(string module) => _floats.TryGetValue(module, out IFloatLayout? floats) ? floats.RelativeLoss(Tensors) : base.RelativeLossOf(module);

    /// <inheritdoc/>
    public override void ReadSingles(string module, Span<float> destination)
    {
        if (_floats.TryGetValue(module, out IFloatLayout? floats)) floats.Read(Tensors, destination);
        else base.ReadSingles(module, destination);
    }

    /// <inheritdoc/>
    public override void ReadRounded(string module, Span<float> destination)
    {
        if (!_floats.ContainsKey(module))
        {
            base.ReadRounded(module, destination);
            return;
        }
        ReadSingles(module, destination);
        ScaleType type = ScaleType ?? Numerics.Quantized.ScaleType.Float32;
        foreach (ref float value in destination) value = StorageScale.RoundAny(value, type);
    }

    private QuantizationScheme SchemeOf(string module) => _config.SchemeFor(StoredName(module)) ?? _config.SchemeFor(module)
        ?? throw new CheckpointException($"{Tensors.Location}: '{module}' is stored quantized, but no group of quantization_config covers it.");

    private bool IsCachePart(string tensor) => _config.KvCacheScheme is not null && CacheParts.Contains(tensor[(tensor.LastIndexOf('.') + 1)..]);

    private RuntimeQuantizers? FindQuantizers()
    {
        IEnumerable<string> stored = Tensors.Names.Where(name => IsCachePart(name) || (base.Owns(name) && ActivationParts.Contains(name[(name.LastIndexOf('.') + 1)..])));
        var quantizers = new RuntimeQuantizers(
            Tensors, _config, Modules.ToDictionary(module => module, SchemeOf, StringComparer.Ordinal), [.. stored.Select(name => PendingTensor.Copy(Tensors, name))],
            _floats.Count > 0 ? "dense" : Name);
        return quantizers.Description.Length == 0 ? null : quantizers;
    }
}
