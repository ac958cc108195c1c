using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>Our own folders with two-level grids: their fields as tensors, linears on uniform grids as compressed-tensors beside them.</summary>
internal sealed class TwoLevelContainer : QuantizedContainer
{
    private readonly CompressedTensorsContainer? _uniform;

    private TwoLevelContainer(SafetensorsFolder tensors, CompressedTensorsContainer? uniform)
        : base(tensors, [.. TwoLevelTensors.Modules(tensors), .. uniform?.Modules ?? []]) => _uniform = uniform;

    /// <inheritdoc/>
    public override string Name => TwoLevelConfig.QuantMethod;

    /// <inheritdoc/>
    public override string Kind => "folder of two-level grids";

    /// <inheritdoc/>
    public override ScaleType? ScaleType => _uniform?.ScaleType ?? Numerics.Quantized.ScaleType.Float16;

    /// <inheritdoc/>
    protected override string ScaleSuffix => ".weight_block_scale";

    /// <inheritdoc/>
    protected override IReadOnlyList<string> Parts => ["weight_codes", "weight_block_scale", "weight_group_scale", "weight_block_minimum", "weight_group_minimum"];

    /// <summary>Reads the configuration.</summary>
    public static TwoLevelContainer Open(JsonElement config, string file, SafetensorsFolder tensors) => new(
        tensors,
        config.TryGetProperty(TwoLevelConfig.Uniform, out JsonElement uniform) && uniform.ValueKind == JsonValueKind.Object
            ? CompressedTensorsContainer.Open(uniform, file, tensors)
            : null);

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module)
    {
        if (UniformOf(module) is { } uniform) return uniform.ShapeOf(module);
        (_, int outFeatures, int inFeatures) = TwoLevelTensors.Describe(Tensors, module);
        return (outFeatures, inFeatures);
    }

    /// <inheritdoc/>
    public override OrderedWeight? Read(string module) => UniformOf(module)?.Read(module);

    /// <inheritdoc/>
    public override QuantizedWeight? ReadQuantized(string module) => UniformOf(module)?.ReadQuantized(module) ?? TwoLevelTensors.Read(Tensors, module);

    /// <inheritdoc/>
    public override void ReadSingles(string module, Span<float> destination) => ReadQuantized(module)!.Dequantize(destination);

    /// <inheritdoc/>
    public override void ReadRounded(string module, Span<float> destination) => ReadSingles(module, destination);

    /// <inheritdoc/>
    public override RuntimeQuantizers? Quantizers => _uniform?.Quantizers;

    /// <inheritdoc/>
    public override bool Owns(string tensor) => base.Owns(tensor) || _uniform?.Owns(tensor) == true;

    /// <inheritdoc/>
    public override bool Knows(string tensor) => _uniform?.Owns(tensor) == true ? _uniform.Knows(tensor) : base.Knows(tensor);

    private CompressedTensorsContainer? UniformOf(string module) => _uniform?.Holds(module) == true ? _uniform : null;
}
