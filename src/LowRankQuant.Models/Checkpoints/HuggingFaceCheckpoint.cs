using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
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
    private readonly SafetensorsFolder _tensors;

    private HuggingFaceCheckpoint(string folder, JsonObject json, DecoderConfig config, SafetensorsFolder tensors)
    {
        Location = folder;
        HuggingFaceConfig = json;
        Config = config;
        _tensors = tensors;
        TensorNames = [.. tensors.Names];
        StoredBytes = tensors.Files.Sum(file => new FileInfo(file.Location).Length);
    }

    /// <inheritdoc/>
    public string Location { get; }

    /// <inheritdoc/>
    public string Kind => "Hugging Face folder";

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
            foreach (string name in _tensors.Names)
            {
                if (!name.EndsWith("_proj.weight", StringComparison.Ordinal)) continue;
                return _tensors.Tensors[name].Type switch
                {
                    SafetensorsType.F16 => ScaleType.Float16,
                    SafetensorsType.BF16 => ScaleType.BFloat16,
                    _ => ScaleType.Float32,
                };
            }
            return ScaleType.Float32;
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
        return new HuggingFaceCheckpoint(folder, json, config, SafetensorsFolder.Open(folder));
    }

    /// <inheritdoc/>
    public bool Contains(string name) => _tensors.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name)
    {
        if (!Contains(name)) throw new CheckpointException($"{Location}: tensor '{name}' is absent; the files do not belong to this configuration.");
        return [.. _tensors.ShapeOf(name).Select(size => checked((int)size))];
    }

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination) => _tensors.ReadSingles(name, destination);

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) => null;

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        foreach (SafetensorsFile file in _tensors.Files) FileSamples.Append(hash, file.Location);
    }

    /// <inheritdoc/>
    public ITokenizer LoadTokenizer() => throw new NotSupportedException();

    /// <inheritdoc/>
    public void CopySideFiles(string folder) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Dispose() => _tensors.Dispose();

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
