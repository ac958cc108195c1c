using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Affine;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>Our own folders with affine grids: their codes, scales and minima as tensors, linears on other grids as their own container has them beside these.</summary>
internal sealed class AffineContainer : QuantizedContainer
{
    private readonly IReadOnlyDictionary<string, AffineGrid> _grids;
    private readonly QuantizedContainer? _others;

    private AffineContainer(SafetensorsFolder tensors, IReadOnlyDictionary<string, AffineGrid> grids, QuantizedContainer? others)
        : base(tensors, [.. grids.Keys, .. others?.Modules ?? []]) => (_grids, _others) = (grids, others);

    /// <inheritdoc/>
    public override string Name => AffineConfig.QuantMethod;

    /// <inheritdoc/>
    public override string Kind => "folder of affine grids";

    /// <inheritdoc/>
    public override ScaleType? ScaleType => base.ScaleType ?? _others?.ScaleType;

    /// <inheritdoc/>
    protected override string ScaleSuffix => AffineTensors.Scale;

    /// <inheritdoc/>
    protected override IReadOnlyList<string> Parts => AffineTensors.Parts;

    /// <summary>Reads the configuration.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">File it comes from.</param>
    /// <param name="tensors">The folder's tensors.</param>
    /// <param name="openOthers">Opens the container of the linears on other grids.</param>
    /// <exception cref="CheckpointFormatException">An unsound configuration, or a module with tensors on an affine grid that it does not name.</exception>
    public static AffineContainer Open(JsonElement config, string file, SafetensorsFolder tensors, Func<JsonElement, QuantizedContainer?> openOthers)
    {
        AffineConfig parsed = AffineConfig.Parse(config, file);
        Dictionary<string, AffineGrid> grids = Named(parsed, tensors);
        if (AffineTensors.Modules(tensors).FirstOrDefault(module => !grids.ContainsKey(module)) is { } unknown)
            throw new CheckpointFormatException("config-schema", file, "quantization_config.grids", $"'{unknown}' is stored on an affine grid, and no grid names it.");
        return new AffineContainer(tensors, grids, parsed.Others is { } others ? openOthers(others) : null);
    }

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) =>
        _grids.TryGetValue(module, out AffineGrid? grid) ? AffineTensors.ShapeOf(Tensors, module, grid) : _others!.ShapeOf(module);

    /// <inheritdoc/>
    public override OrderedWeight? Read(string module) => _grids.ContainsKey(module) ? null : _others!.Read(module);

    /// <inheritdoc/>
    public override QuantizedWeight? ReadQuantized(string module) =>
        _grids.TryGetValue(module, out AffineGrid? grid) ? AffineTensors.Read(Tensors, module, grid) : _others!.ReadQuantized(module);

    /// <inheritdoc/>
    public override string? FloatTypeOf(string module) => _grids.ContainsKey(module) ? null : _others!.FloatTypeOf(module);

    /// <inheritdoc/>
    public override double? RelativeLossOf(string module) => _grids.ContainsKey(module) ? StoredLoss.Of(ReadQuantized(module)!) : _others!.RelativeLossOf(module);

    /// <inheritdoc/>
    public override void ReadSingles(string module, Span<float> destination)
    {
        if (_grids.ContainsKey(module)) ReadQuantized(module)!.Dequantize(destination);
        else _others!.ReadSingles(module, destination);
    }

    /// <inheritdoc/>
    public override void ReadRounded(string module, Span<float> destination) => ReadSingles(module, destination);

    /// <inheritdoc/>
    public override bool Knows(string tensor) => _others?.Owns(tensor) == true ? _others.Knows(tensor) : base.Knows(tensor);

    // The configuration has names as files do, which readers may know by others.
    private static Dictionary<string, AffineGrid> Named(AffineConfig config, SafetensorsFolder tensors)
    {
        var grids = new Dictionary<string, AffineGrid>(StringComparer.Ordinal);
        var written = AffineTensors.Modules(tensors).ToDictionary(module => Stored(tensors, module), StringComparer.Ordinal);
        foreach ((string module, AffineGrid grid) in config.Grids) grids[written.GetValueOrDefault(module, module)] = grid;
        return grids;
    }

    private static string Stored(SafetensorsFolder tensors, string module) =>
        tensors.StoredNameOf(module + AffineTensors.Scale) is { } stored && stored.EndsWith(AffineTensors.Scale, StringComparison.Ordinal) ? stored[..^AffineTensors.Scale.Length] : module;
}
