using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>Weights in 8-bit floats with scales beside them: <c>quant_method</c> fp8 and fbgemm_fp8, or no configuration at all. They lie on no integer grid.</summary>
internal sealed class Float8Container : QuantizedContainer
{
    private const string Weight = ".weight";
    private const int MostNamed = 4;
    private readonly Dictionary<string, Float8Layout> _layouts;

    private Float8Container(SafetensorsFolder tensors, Dictionary<string, Float8Layout> layouts, IReadOnlyList<string> warnings)
        : base(tensors, layouts.Keys)
    {
        _layouts = layouts;
        Warnings = warnings;
    }

    /// <inheritdoc/>
    public override string Name => "fp8";

    /// <inheritdoc/>
    public override string Kind => "folder of 8-bit floats";

    /// <inheritdoc/>
    public override ScaleType? ScaleType => null;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Warnings { get; }

    /// <inheritdoc/>
    protected override string ScaleSuffix => ".weight_scale";

    /// <inheritdoc/>
    protected override IReadOnlyList<string> Parts { get; } = ["weight", .. Float8Layout.ScaleNames, .. Float8Layout.InputScaleNames];

    /// <summary>Reads a configuration: <c>weight_block_size</c> is all that matters to weights.</summary>
    public static Float8Container? Open(JsonElement config, string file, SafetensorsFolder tensors)
    {
        (int, int)? block = null;
        if (config.TryGetProperty("weight_block_size", out JsonElement size) && size.ValueKind != JsonValueKind.Null)
        {
            block = size.ValueKind == JsonValueKind.Array && size.GetArrayLength() == 2
                && IsNumber(size[0], out int rows) && IsNumber(size[1], out int columns) && rows > 0 && columns > 0
                ? (rows, columns)
                : throw new CheckpointFormatException(
                    "config-schema", file, "quantization_config.weight_block_size",
                    $"is {size.GetRawText()}; two positive numbers belong here, such as [128, 128].");
        }
        bool rounds = config.TryGetProperty("activation_scheme", out JsonElement scheme) && scheme.ValueKind == JsonValueKind.String && scheme.GetString() == "dynamic";
        return Find(tensors, block, rounds);
    }

    /// <summary>Finds 8-bit floats in a folder whose configuration does not speak of them; null where there are none with scales.</summary>
    /// <exception cref="CheckpointFormatException">Scales have no clear meaning, or stand beside another type.</exception>
    public static Float8Container? WithoutConfiguration(SafetensorsFolder tensors)
    {
        foreach (string name in tensors.Names)
        {
            int dot = name.LastIndexOf('.');
            if (dot < 0 || name[(dot + 1)..] is not ("weight_scale" or "weight_scale_inv" or "scale_weight")) continue;
            if (!tensors.Tensors.TryGetValue(name[..dot] + Weight, out TensorEntry? weight) || Float8Layout.IsFloat8(weight.Type)) continue;
            throw new CheckpointFormatException(
                "scale", tensors.Location, name,
                $"stands beside a weight of type {weight.Type.HeaderName()}, and neither config.json nor quantize_config.json says what it means; " +
                "restore quantization_config in config.json.");
        }
        return Find(tensors, null, roundsInputs: false);
    }

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => (_layouts[module].OutFeatures, _layouts[module].InFeatures);

    /// <inheritdoc/>
    public override OrderedWeight? Read(string module) => null;

    /// <inheritdoc/>
    public override string? FloatTypeOf(string module) => _layouts[module].Describe(Tensors);

    /// <inheritdoc/>
    public override double? RelativeLossOf(string module) => _layouts[module].RelativeLoss(Tensors);

    /// <inheritdoc/>
    public override void ReadSingles(string module, Span<float> destination) => _layouts[module].Read(Tensors, destination);

    /// <inheritdoc/>
    public override void ReadRounded(string module, Span<float> destination) => ReadSingles(module, destination);

    private static Float8Container? Find(SafetensorsFolder tensors, (int, int)? block, bool roundsInputs)
    {
        var layouts = new Dictionary<string, Float8Layout>(StringComparer.Ordinal);
        var plain = new List<string>();
        foreach (TensorEntry entry in tensors.Tensors.Values.Where(entry => Float8Layout.IsFloat8(entry.Type) && entry.Name.EndsWith(Weight, StringComparison.Ordinal)))
        {
            string module = entry.Name[..^Weight.Length];
            if (Float8Layout.Find(tensors, module, block) is { } layout) layouts.Add(module, layout);
            else plain.Add(entry.Name);
        }
        List<string> warnings = [];
        if (plain.Count > 0) warnings.Add($"8-bit floats without a scale beside them, read as they are: {Some(plain)}.");
        string[] inputs = [.. layouts.Keys.SelectMany(module => Float8Layout.InputScaleNames.Select(name => $"{module}.{name}")).Where(tensors.Contains)];
        if (inputs.Length > 0) warnings.Add($"scales of quantized inputs are left out; inputs are computed in full: {Some(inputs)}.");
        if (roundsInputs && layouts.Count > 0)
            warnings.Add("quantized inputs (activation_scheme dynamic) are left out: inputs are computed in full, and a result does not ask an engine to quantize them.");
        return layouts.Count + plain.Count == 0 ? null : new Float8Container(tensors, layouts, warnings);
    }

    private static bool IsNumber(JsonElement json, out int number)
    {
        number = 0;
        return json.ValueKind == JsonValueKind.Number && json.TryGetInt32(out number);
    }

    private static string Some(IReadOnlyList<string> names) =>
        $"{string.Join(", ", names.Take(MostNamed))}{(names.Count > MostNamed ? $" and {names.Count - MostNamed} more" : "")}";
}
