using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Mlx;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>MLX: affine groups with a float bias, and small floats in groups. A module of the former has integer zero points where its biases are whole multiples of its scales, and else float minima.</summary>
internal sealed class MlxContainer : QuantizedContainer
{
    private readonly MlxConfig _config;

    private MlxContainer(SafetensorsFolder tensors, MlxConfig config)
        : base(tensors, ModulesWith(tensors, MlxReader.Scales)) => _config = config;

    /// <inheritdoc/>
    public override string Name => "mlx";

    /// <inheritdoc/>
    protected override string ScaleSuffix => MlxReader.Scales;

    /// <inheritdoc/>
    protected override IReadOnlyList<string> Parts => ["weight", "scales", "biases"];

    /// <summary>Reads the configuration of an MLX checkpoint.</summary>
    public static MlxContainer Open(JsonElement config, string file, SafetensorsFolder tensors) => new(tensors, MlxConfig.Parse(config, file));

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) =>
        FloatsOf(module) is { } floats ? (floats.OutFeatures, floats.InFeatures) : MlxReader.ShapeOf(Tensors, module, LayoutOf(module));

    /// <inheritdoc/>
    public override OrderedWeight? Read(string module) =>
        LayoutOf(module).Floats is null && ReadAffine(module).ToGrid() is { } weight ? new OrderedWeight(weight, null) : null;

    /// <inheritdoc/>
    public override QuantizedWeight? ReadQuantized(string module)
    {
        if (FloatsOf(module) is { } floats) return floats.ReadCodes(Tensors);
        MlxWeight stored = ReadAffine(module);
        return (QuantizedWeight?)stored.ToGrid() ?? stored.ToAffine();
    }

    /// <inheritdoc/>
    public override string? FloatTypeOf(string module) => FloatsOf(module)?.Describe(Tensors);

    /// <inheritdoc/>
    public override double? RelativeLossOf(string module) => FloatsOf(module) is { } floats ? floats.RelativeLoss(Tensors) : ReadQuantized(module) is { } stored ? StoredLoss.Of(stored) : null;

    /// <inheritdoc/>
    public override void ReadSingles(string module, Span<float> destination)
    {
        if (FloatsOf(module) is { } floats) floats.Read(Tensors, destination);
        else ReadAffine(module).Dequantize(destination);
    }

    /// <inheritdoc/>
    public override void ReadRounded(string module, Span<float> destination) => ReadSingles(module, destination);

    /// <inheritdoc/>
    public override void Round(OrderedWeight weight, Span<float> destination)
    {
        UniformWeight natural = weight.Weight;
        var grid = new UniformGrid(natural.Grid.Bits, natural.Grid.Symmetric, Granularity.Group, natural.EffectiveGroupSize);
        MlxWeight? affine = weight.Columns is null ? MlxWeight.FromGrid(StoredGrid.Put(natural, grid, natural.ScaleType)) : null;
        if (affine is null) base.Round(weight, destination);
        else affine.Dequantize(destination);
    }

    /// <inheritdoc/>
    public override void Round(AffineWeight weight, Span<float> destination) => MlxWeight.FromAffine(weight).Dequantize(destination);

    private MicroLayout? FloatsOf(string module) => LayoutOf(module).Floats is { } format ? MicroLayout.OfMlx(Tensors, module, format) : null;

    private MlxWeight ReadAffine(string module) => MlxReader.Read(Tensors, module, LayoutOf(module));

    private MlxLayout LayoutOf(string module) => _config.For(module, StoredName(module))
        ?? throw new CheckpointException($"{Tensors.Location}: '{module}' is stored quantized, but the configuration leaves it dense.");
}
