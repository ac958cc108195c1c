using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;
using JsonNode = System.Text.Json.Nodes.JsonNode;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>A Hugging Face folder: config.json, safetensors files, tokenizer.</summary>
public sealed class HuggingFaceCheckpoint : ICheckpoint
{
    // Beyond any real configuration; keeps a hostile file from being read whole.
    private const long LargestConfig = 16 << 20;
    private const string WeightSuffix = ".weight";
    private readonly SafetensorsFolder _tensors;
    private readonly CompressedTensorsConfig? _compression;
    private readonly Dictionary<string, QuantizationScheme> _compressed;
    private readonly HashSet<string> _twoLevel;

    private HuggingFaceCheckpoint(string folder, JsonObject json, DecoderConfig config, SafetensorsFolder tensors, CompressedTensorsConfig? compression)
    {
        Location = folder;
        HuggingFaceConfig = json;
        Config = config;
        _tensors = tensors;
        _compression = compression;
        _compressed = FindCompressed(folder, tensors, compression);
        _twoLevel = FindTwoLevel(json, tensors);
        TensorNames = [.. _compressed.Keys, .. _twoLevel, .. tensors.Names.Where(name => !BelongsToQuantized(name))];
        StoredBytes = tensors.Files.Sum(file => new FileInfo(file.Location).Length);
    }

    /// <inheritdoc/>
    public string Location { get; }

    /// <inheritdoc/>
    public string Kind => _twoLevel.Count > 0 ? "folder of two-level grids" : _compression is null ? "Hugging Face folder" : "compressed-tensors folder";

    /// <inheritdoc/>
    public DecoderConfig Config { get; }

    /// <inheritdoc/>
    public JsonObject HuggingFaceConfig { get; }

    /// <inheritdoc/>
    public long StoredBytes { get; }

    /// <inheritdoc/>
    public IReadOnlyCollection<string> TensorNames { get; }

    /// <inheritdoc/>
    public ScaleType NativeScaleType
    {
        get
        {
            string? sample = _tensors.Names.FirstOrDefault(name => name.EndsWith("_proj.weight_scale", StringComparison.Ordinal))
                ?? _tensors.Names.FirstOrDefault(name => name.EndsWith("_proj.weight", StringComparison.Ordinal));
            if (sample is null && _twoLevel.Count > 0) return ScaleType.Float16;
            return (sample is null ? SafetensorsType.F32 : _tensors.Tensors[sample].Type) switch
            {
                SafetensorsType.F16 => ScaleType.Float16,
                SafetensorsType.BF16 => ScaleType.BFloat16,
                _ => ScaleType.Float32,
            };
        }
    }

    /// <summary>Opens a folder.</summary>
    /// <exception cref="CheckpointException">config.json is absent or unsound.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    public static HuggingFaceCheckpoint Open(string folder)
    {
        string file = Path.Combine(folder, "config.json");
        JsonObject json = ReadObject(file);
        string? modelType = json["model_type"] is JsonValue value && value.TryGetValue(out string? text) ? text : null;
        DecoderConfig config = ModelFamilies.For(modelType, file).ReadConfig(json, file);
        CompressedTensorsConfig? compression = ReadCompression(json, file);
        SafetensorsFolder tensors = SafetensorsFolder.Open(folder);
        try
        {
            return new HuggingFaceCheckpoint(folder, json, config, tensors, compression);
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Contains(string name) => _compressed.ContainsKey(name) || _twoLevel.Contains(name) || _tensors.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name)
    {
        if (_compressed.ContainsKey(name)) return CompressedShape(name);
        if (_twoLevel.Contains(name))
        {
            (_, int outFeatures, int inFeatures) = TwoLevelTensors.Describe(_tensors, Module(name));
            return [outFeatures, inFeatures];
        }
        if (!_tensors.Contains(name)) throw new CheckpointException($"{Location}: tensor '{name}' is absent; the files do not belong to this configuration.");
        return [.. _tensors.ShapeOf(name).Select(size => checked((int)size))];
    }

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        if (ReadQuantized(name) is { } quantized) quantized.Reconstruct(destination);
        else _tensors.ReadSingles(name, destination);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) => _compressed.TryGetValue(name, out QuantizationScheme? scheme)
        ? CompressedTensorsReader.Read(_tensors, Module(name), scheme, _compression!)
        : _twoLevel.Contains(name) ? TwoLevelTensors.Read(_tensors, Module(name)) : null;

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => ReadQuantized(name)?.StoredBits ?? (_tensors.Contains(name)
        ? 8 * _tensors.Tensors[name].ByteLength
        : throw new CheckpointException($"{Location}: tensor '{name}' is absent; the files do not belong to this configuration."));

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        foreach (SafetensorsFile file in _tensors.Files) FileSamples.Append(hash, file.Location);
    }

    /// <inheritdoc/>
    public ITokenizer LoadTokenizer() => TokenizerLoader.FromFolder(Location);

    /// <inheritdoc/>
    public string? ReadChatTemplate() => ChatTemplateFile.Find(Location);

    /// <inheritdoc/>
    public void CopySideFiles(string folder) => SideFiles.Copy(Location, folder);

    /// <inheritdoc/>
    public PendingTensor Store(string name, SafetensorsType type) =>
        _tensors.Contains(name) && _tensors.Tensors[name].Type == type ? PendingTensor.Copy(_tensors, name) : this.Converted(name, type);

    /// <inheritdoc/>
    public void Dispose() => _tensors.Dispose();

    private static string Module(string weight) => weight[..^WeightSuffix.Length];

    private static CompressedTensorsConfig? ReadCompression(JsonObject json, string file)
    {
        if (json["quantization_config"] is not JsonObject quantization) return null;
        string? method = Method(quantization);
        if (method == TwoLevelConfig.QuantMethod)
        {
            if (quantization[TwoLevelConfig.Uniform] is not JsonObject uniform) return null;
            quantization = uniform;
            method = Method(uniform);
        }
        if (method != CompressedTensorsConfig.QuantMethod)
        {
            throw new UnsupportedModelException(
                $"{file}: quantization_config.quant_method '{method}' is not supported; supported are {CompressedTensorsConfig.QuantMethod} and {TwoLevelConfig.QuantMethod}.");
        }
        using JsonDocument document = JsonDocument.Parse(quantization.ToJsonString());
        CompressedTensorsConfig compression = CompressedTensorsConfig.Parse(document.RootElement, file);
        if (compression.KvCacheScheme is not null)
            throw new UnsupportedModelException($"{file}: kv_cache_scheme is set; quantized key-value caches cannot be executed yet.");
        return compression;
    }

    private static string? Method(JsonObject quantization) =>
        (quantization["quant_method"] as JsonValue)?.TryGetValue(out string? text) == true ? text : null;

    private static HashSet<string> FindTwoLevel(JsonObject json, SafetensorsFolder tensors) =>
        json["quantization_config"] is JsonObject quantization && Method(quantization) == TwoLevelConfig.QuantMethod
            ? [.. TwoLevelTensors.Modules(tensors).Select(module => module + WeightSuffix)]
            : [];

    private static Dictionary<string, QuantizationScheme> FindCompressed(string folder, SafetensorsFolder tensors, CompressedTensorsConfig? compression)
    {
        var found = new Dictionary<string, QuantizationScheme>(StringComparer.Ordinal);
        if (compression is null) return found;
        foreach (string name in tensors.Names)
        {
            if (!name.EndsWith(".weight_scale", StringComparison.Ordinal)) continue;
            string module = name[..^".weight_scale".Length];
            QuantizationScheme scheme = compression.SchemeFor(module)
                ?? throw new CheckpointException($"{folder}: '{module}' is stored quantized, but no group of quantization_config covers it.");
            if (scheme.InputActivations is not null || scheme.OutputActivations is not null)
                throw new UnsupportedModelException($"{folder}: '{module}' has quantized activations ({scheme.Name}), which cannot be executed yet; weight-only schemes can.");
            found[module + WeightSuffix] = scheme;
        }
        return found;
    }

    private int[] CompressedShape(string name)
    {
        string module = Module(name);
        if (!_tensors.Contains(module + ".weight_shape")) return [.. _tensors.ShapeOf(name).Select(size => checked((int)size))];
        QuantizedWeight weight = ReadQuantized(name)!;
        return [weight.OutFeatures, weight.InFeatures];
    }

    private bool BelongsToQuantized(string name)
    {
        int dot = name.LastIndexOf('.');
        if (dot <= 0 || name[(dot + 1)..] == "bias") return false;
        string weight = name[..dot] + WeightSuffix;
        return _compressed.ContainsKey(weight) || _twoLevel.Contains(weight);
    }

    private static JsonObject ReadObject(string file)
    {
        var info = new FileInfo(file);
        if (!info.Exists) throw new CheckpointException($"{file} does not exist; a Hugging Face folder holds config.json beside its safetensors files.");
        if (info.Length > LargestConfig) throw new CheckpointException($"{file} has {info.Length} bytes; a configuration has at most {LargestConfig}.");
        try
        {
            return JsonNode.Parse(File.ReadAllBytes(file), documentOptions: new JsonDocumentOptions { MaxDepth = 32 }) as JsonObject
                ?? throw new CheckpointException($"{file}: the top level must be a JSON object.");
        }
        catch (JsonException bad)
        {
            throw new CheckpointException($"{file}: not valid JSON: {bad.Message}", bad);
        }
    }
}
