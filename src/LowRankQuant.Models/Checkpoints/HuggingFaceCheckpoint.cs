using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>
/// A Hugging Face folder: config.json, safetensors files, tokenizer; its linears in plain floats or in a container. Tensors have their standard names, see
/// <see cref="StandardNames"/>; the one matrix of a tied model has that of the embedding.
/// </summary>
public sealed class HuggingFaceCheckpoint : ICheckpoint
{
    private readonly FolderContents _contents;
    private readonly HashSet<string> _names;
    private readonly string? _embedding;
    private readonly string _head;

    private HuggingFaceCheckpoint(FolderContents contents, IModelFamily family, OutputHeadChoice head, ModelStructure structure, JsonObject json)
    {
        _contents = contents;
        _head = family.HeadName;
        _embedding = head.EmbeddingIsHead ? family.EmbeddingName : null;
        HuggingFaceConfig = json;
        Config = structure.Config;
        Warnings = [.. contents.Container?.Warnings ?? [], .. structure.Warnings];
        Carried = [.. structure.Carried.Select(name => PendingTensor.Copy(contents.Stored, name))];
        HashSet<string> others = [.. structure.Carried];
        if (head.Tied && !head.EmbeddingIsHead) others.Add(_head);
        TensorNames = [.. contents.Names.Where(name => !others.Contains(name) && !IgnoredTensors.Contains(name)).Select(Known)];
        _names = [.. TensorNames];
        StoredBytes = contents.Stored.Files.Sum(file => new FileInfo(file.Location).Length);
    }

    /// <inheritdoc/>
    public string Location => _contents.Location;

    /// <inheritdoc/>
    public string Kind => Container is null ? "Hugging Face folder" : Container.Kind;

    /// <summary>How the quantized linears are stored; null for plain floats.</summary>
    public QuantizedContainer? Container => _contents.Container;

    /// <inheritdoc/>
    public DecoderConfig Config { get; }

    /// <inheritdoc/>
    public JsonObject HuggingFaceConfig { get; }

    /// <inheritdoc/>
    public long StoredBytes { get; }

    /// <inheritdoc/>
    public IReadOnlyCollection<string> TensorNames { get; }

    /// <inheritdoc/>
    public IReadOnlyList<PendingTensor> Carried { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Warnings { get; }

    /// <inheritdoc/>
    public RuntimeQuantizers? Quantizers => Container?.Quantizers;

    /// <inheritdoc/>
    public ScaleType NativeScaleType
    {
        get
        {
            if (Container?.ScaleType is { } stored) return stored;
            IEnumerable<SafetensorsType> types = _names.Select(Stored).Select(_contents.TypeOf).OfType<SafetensorsType>();
            string? sample = _contents.Stored.Names.FirstOrDefault(name =>
                name.EndsWith("_proj.weight", StringComparison.Ordinal) && _contents.TypeOf(name) is { } type && IsScale(type));
            return (sample is null ? types.FirstOrDefault(IsScale, SafetensorsType.F32) : _contents.Stored.Tensors[sample].Type).ToScaleType();
        }
    }

    /// <summary>Opens a folder.</summary>
    /// <exception cref="CheckpointException">config.json is absent or unsound, or its tensors are not those that it asks for.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported, or a tensor has no place in it.</exception>
    public static HuggingFaceCheckpoint Open(string folder)
    {
        string file = Path.Combine(folder, ModelConfigFile.Name);
        JsonObject json = ModelConfigFile.Read(file);
        string? modelType = json["model_type"] is JsonValue value && value.TryGetValue(out string? text) ? text : null;
        IModelFamily family = ModelFamilies.For(modelType, file);
        DecoderConfig config = family.ReadConfig(json, file);
        SafetensorsFolder tensors = SafetensorsFolder.Open(folder, StandardNames.Of);
        try
        {
            var contents = new FolderContents(folder, tensors, ContainerOpener.Open(json, folder, tensors));
            OutputHeadChoice head = OutputHeadChoice.Of(contents, family, config, json);
            ModelStructure structure = ModelStructure.Of(contents, family, config, head, json);
            head.Correct(json);
            return new HuggingFaceCheckpoint(contents, family, head, structure, json);
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Contains(string name) => _names.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name) => _contents.ShapeOf(Present(name));

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination) => _contents.Read(Present(name), destination);

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) => Module(name) is { } module ? Container!.ReadQuantized(module) : null;

    /// <inheritdoc/>
    public OrderedWeight? ReadOrdered(string name) => Module(name) is { } module ? Container!.Read(module) : null;

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => Module(name) is { } module ? Container!.StoredBitsOf(module) : 8 * _contents.Stored.Tensors[Present(name)].ByteLength;

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        foreach (SafetensorsFile file in _contents.Stored.Files) FileSamples.Append(hash, file.Location);
    }

    /// <inheritdoc/>
    public bool HasTokenizer => TokenizerLoader.IsIn(Location);

    /// <inheritdoc/>
    public ITokenizer LoadTokenizer() => TokenizerLoader.FromFolder(Location, Config.VocabularySize);

    /// <inheritdoc/>
    public string? ReadChatTemplate() => ChatTemplateFile.Find(Location);

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> ReadChatTemplates() => ChatTemplateFile.FindAll(Location);

    /// <inheritdoc/>
    public void CopySideFiles(string folder) => SideFiles.Copy(Location, folder);

    /// <inheritdoc/>
    public PendingTensor Store(string name, SafetensorsType type)
    {
        string stored = Present(name);
        return _contents.TypeOf(stored) == type ? PendingTensor.Copy(_contents.Stored, stored, name) : this.Converted(name, type);
    }

    /// <inheritdoc/>
    public void Dispose() => _contents.Stored.Dispose();

    private string? Module(string name) => _names.Contains(name) ? _contents.Quantized(Stored(name)) : null;

    private string Present(string name) => _names.Contains(name) ? Stored(name) : throw _contents.Absent(name);

    // The one matrix of a tied model may be stored under the name of the head.
    private string Stored(string name) => name == _embedding ? _head : name;

    private string Known(string stored) => _embedding is not null && stored == _head ? _embedding : stored;

    private static bool IsScale(SafetensorsType type) => type is SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16;
}
