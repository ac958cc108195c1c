using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>compressed-tensors: <c>pack-quantized</c>, <c>int-quantized</c> and <c>naive-quantized</c>, also mixed.</summary>
internal sealed class CompressedTensorsContainer : QuantizedContainer
{
    private const string Scale = ".weight_scale";
    private static readonly string[] CacheParts = ["k_scale", "v_scale", "k_zero_point", "v_zero_point"];
    private static readonly string[] ActivationParts = ["input_scale", "input_zero_point", "output_scale", "output_zero_point"];
    private readonly CompressedTensorsConfig _config;

    private CompressedTensorsContainer(SafetensorsFolder tensors, CompressedTensorsConfig config)
        : base(tensors, ModulesWith(tensors, Scale))
    {
        _config = config;
        foreach (string module in Modules) SchemeOf(module);
        Quantizers = FindQuantizers();
    }

    /// <inheritdoc/>
    public override string Name => CompressedTensorsConfig.QuantMethod;

    /// <inheritdoc/>
    public override RuntimeQuantizers? Quantizers { get; }

    /// <inheritdoc/>
    protected override string ScaleSuffix => Scale;

    /// <summary>Reads the configuration and finds the quantized modules.</summary>
    public static CompressedTensorsContainer Open(JsonElement config, string file, SafetensorsFolder tensors) =>
        new(tensors, CompressedTensorsConfig.Parse(config, file));

    /// <inheritdoc/>
    public override bool Owns(string tensor) => base.Owns(tensor) || IsCachePart(tensor);

    /// <inheritdoc/>
    public override (int OutFeatures, int InFeatures) ShapeOf(string module) => CompressedTensorsReader.ShapeOf(Tensors, module, SchemeOf(module));

    /// <inheritdoc/>
    public override OrderedWeight Read(string module) => CompressedTensorsReader.ReadOrdered(Tensors, module, SchemeOf(module), _config);

    private QuantizationScheme SchemeOf(string module) => _config.SchemeFor(module)
        ?? throw new CheckpointException($"{Tensors.Location}: '{module}' is stored quantized, but no group of quantization_config covers it.");

    private bool IsCachePart(string tensor) => _config.KvCacheScheme is not null && CacheParts.Contains(tensor[(tensor.LastIndexOf('.') + 1)..]);

    private RuntimeQuantizers? FindQuantizers()
    {
        var what = new List<string>();
        if (_config.KvCacheScheme is { } cache) what.Add($"a quantized key-value cache (kv_cache_scheme {cache.Describe()})");
        foreach (QuantizationScheme scheme in Modules.Select(SchemeOf).Distinct())
        {
            if (scheme.InputActivations is { } inputs) what.Add($"quantized inputs ({scheme.Name}: {inputs.Describe()})");
            if (scheme.OutputActivations is { } outputs) what.Add($"quantized outputs ({scheme.Name}: {outputs.Describe()})");
        }
        if (what.Count == 0) return null;
        IEnumerable<string> stored = Tensors.Names.Where(name => IsCachePart(name) || (base.Owns(name) && ActivationParts.Contains(name[(name.LastIndexOf('.') + 1)..])));
        return new RuntimeQuantizers(string.Join(", ", what.Distinct(StringComparer.Ordinal)), _config, [.. stored.Select(name => PendingTensor.Copy(Tensors, name))]);
    }
}
