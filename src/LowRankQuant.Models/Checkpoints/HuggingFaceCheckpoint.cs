using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>A Hugging Face folder: config.json, safetensors files, tokenizer; its linears in plain floats or in a container.</summary>
public sealed class HuggingFaceCheckpoint : ICheckpoint
{
    private const string WeightSuffix = ".weight";
    private readonly SafetensorsFolder _tensors;

    private HuggingFaceCheckpoint(string folder, JsonObject json, DecoderConfig config, SafetensorsFolder tensors, QuantizedContainer? container)
    {
        Location = folder;
        HuggingFaceConfig = json;
        Config = config;
        _tensors = tensors;
        Container = container;
        TensorNames =
        [
            .. container?.Modules.Select(module => module + WeightSuffix) ?? [],
            .. tensors.Names.Where(name => container?.Owns(name) != true),
        ];
        StoredBytes = tensors.Files.Sum(file => new FileInfo(file.Location).Length);
    }

    /// <inheritdoc/>
    public string Location { get; }

    /// <inheritdoc/>
    public string Kind => Container is null ? "Hugging Face folder" : Container.Kind;

    /// <summary>How the quantized linears are stored; null for plain floats.</summary>
    public QuantizedContainer? Container { get; }

    /// <inheritdoc/>
    public DecoderConfig Config { get; }

    /// <inheritdoc/>
    public JsonObject HuggingFaceConfig { get; }

    /// <inheritdoc/>
    public long StoredBytes { get; }

    /// <inheritdoc/>
    public IReadOnlyCollection<string> TensorNames { get; }

    /// <inheritdoc/>
    public RuntimeQuantizers? Quantizers => Container?.Quantizers;

    /// <inheritdoc/>
    public ScaleType NativeScaleType
    {
        get
        {
            if (Container?.ScaleType is { } stored) return stored;
            string? sample = _tensors.Names.FirstOrDefault(name => name.EndsWith("_proj.weight", StringComparison.Ordinal));
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
        string file = Path.Combine(folder, ModelConfigFile.Name);
        JsonObject json = ModelConfigFile.Read(file);
        string? modelType = json["model_type"] is JsonValue value && value.TryGetValue(out string? text) ? text : null;
        DecoderConfig config = ModelFamilies.For(modelType, file).ReadConfig(json, file);
        SafetensorsFolder tensors = SafetensorsFolder.Open(folder);
        try
        {
            return new HuggingFaceCheckpoint(folder, json, config, tensors, ContainerOpener.Open(json, file, tensors));
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Contains(string name) => Quantized(name) is not null || _tensors.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name)
    {
        if (Quantized(name) is { } module)
        {
            (int outFeatures, int inFeatures) = Container!.ShapeOf(module);
            return [outFeatures, inFeatures];
        }
        if (!_tensors.Contains(name)) throw Absent(name);
        return [.. _tensors.ShapeOf(name).Select(size => checked((int)size))];
    }

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        if (Quantized(name) is { } module) Container!.ReadSingles(module, destination);
        else _tensors.ReadSingles(name, destination);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) => Quantized(name) is { } module ? Container!.ReadQuantized(module) : null;

    /// <inheritdoc/>
    public OrderedWeight? ReadOrdered(string name) => Quantized(name) is { } module ? Container!.Read(module) : null;

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => Quantized(name) is { } module ? Container!.StoredBitsOf(module)
        : _tensors.Contains(name) ? 8 * _tensors.Tensors[name].ByteLength
        : throw Absent(name);

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        foreach (SafetensorsFile file in _tensors.Files) FileSamples.Append(hash, file.Location);
    }

    /// <inheritdoc/>
    public ITokenizer LoadTokenizer() => TokenizerLoader.FromFolder(Location, Config.VocabularySize);

    /// <inheritdoc/>
    public string? ReadChatTemplate() => ChatTemplateFile.Find(Location);

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> ReadChatTemplates() => ChatTemplateFile.FindAll(Location);

    /// <inheritdoc/>
    public void CopySideFiles(string folder) => SideFiles.Copy(Location, folder);

    /// <inheritdoc/>
    public PendingTensor Store(string name, SafetensorsType type) =>
        Quantized(name) is null && _tensors.Contains(name) && _tensors.Tensors[name].Type == type ? PendingTensor.Copy(_tensors, name) : this.Converted(name, type);

    /// <inheritdoc/>
    public void Dispose() => _tensors.Dispose();

    /// <summary>The quantized module whose weight a name means; null for a tensor in plain floats.</summary>
    private string? Quantized(string name) =>
        Container is not null && name.EndsWith(WeightSuffix, StringComparison.Ordinal) && Container.Holds(name[..^WeightSuffix.Length]) ? name[..^WeightSuffix.Length] : null;

    private CheckpointException Absent(string name) => new($"{Location}: tensor '{name}' is absent; the files do not belong to this configuration.");
}
