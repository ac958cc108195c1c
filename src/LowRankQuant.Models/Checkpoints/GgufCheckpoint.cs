using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>
/// A GGUF file (or its first part) seen as a Hugging Face checkpoint: names are translated, and the rows of q and k, which GGUF keeps in interleaved
/// rotary order for the llama architecture, come back in half-split order.
/// </summary>
public sealed class GgufCheckpoint : ICheckpoint
{
    private readonly GgufFile _file;
    private readonly Dictionary<string, string> _names;

    private GgufCheckpoint(GgufFile file, GgufConfig config, Dictionary<string, string> names)
    {
        _file = file;
        HuggingFaceConfig = config.Json;
        Architecture = config.Model;
        // A GGUF file has every tensor under a name of its own; how they would lie in a folder is what a folder needs.
        Layout = Architecture.Layout(_ => false);
        Warnings = [.. config.Warnings, .. GgufVocabularyReader.Warnings(file)];
        _names = names;
        StoredBytes = file.Files.Sum(path => new FileInfo(path).Length);
    }

    /// <inheritdoc/>
    public string Location => _file.Location;

    /// <inheritdoc/>
    public string Kind => "GGUF file";

    /// <inheritdoc/>
    public Architecture Architecture { get; }

    /// <inheritdoc/>
    public ModelLayout Layout { get; }

    /// <inheritdoc/>
    public DecoderConfig Config => Architecture.Config;

    /// <inheritdoc/>
    public JsonObject HuggingFaceConfig { get; }

    /// <inheritdoc/>
    public ScaleType NativeScaleType => ScaleType.Float16;

    /// <inheritdoc/>
    public long StoredBytes { get; }

    /// <inheritdoc/>
    public IReadOnlyCollection<string> TensorNames => _names.Keys;

    /// <inheritdoc/>
    public IReadOnlyList<string> Warnings { get; }

    /// <summary>The file itself, for what is passed on as it is.</summary>
    internal GgufFile File => _file;

    /// <summary>Opens a file.</summary>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    /// <exception cref="CheckpointException">Metadata and tensors do not fit together.</exception>
    public static GgufCheckpoint Open(string path)
    {
        GgufFile file = GgufFile.Open(path);
        try
        {
            if (GgufLoraAdapter.Is(file)) throw CheckpointOpener.AdapterAlone(path);
            var config = GgufConfig.Read(file);
            Dictionary<string, string> names = GgufNames.Translate(file, config.Model.Config);
            GgufStructure.Check(file, config.Model, names);
            return new GgufCheckpoint(file, config, names);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Contains(string name) => _names.ContainsKey(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name) => [.. _file.ShapeOf(Stored(name)).Select(size => checked((int)size))];

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        string stored = Stored(name);
        _file.ReadSingles(stored, destination);
        int heads = RotaryRows.Heads(Config, name);
        if (heads == 0) return;
        int rows = ShapeOf(name)[0];
        RotaryRows.ToHalfSplit(destination, heads, rows, destination.Length / rows);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name)
    {
        if (!_names.TryGetValue(name, out string? stored)) return null;
        int heads = RotaryRows.Heads(Config, name), headSize = Config.HeadSize;
        if (heads == 0) return GgufBlockDecoder.Read(_file, stored);
        this.CheckShape(name, [heads * headSize, .. ShapeOf(name).Skip(1)]);
        return GgufBlockDecoder.Read(_file, stored, row => RotaryRows.HalfSplitRow(row, headSize));
    }

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => 8 * _file.Tensors[Stored(name)].ByteLength;

    /// <inheritdoc/>
    public string? BlockTypeOf(string name) => _file.Tensors[Stored(name)].Type.ToString();

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        foreach (string path in _file.Files) FileSamples.Append(hash, path);
    }

    /// <inheritdoc/>
    public ITokenizer LoadTokenizer() => GgufTokenizer.Create(GgufVocabularyReader.Read(_file));

    /// <inheritdoc/>
    public string? ReadChatTemplate() => ReadChatTemplates().GetValueOrDefault(ChatTemplateFile.Default);

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> ReadChatTemplates() => GgufVocabularyReader.Templates(_file);

    /// <inheritdoc/>
    public void CopySideFiles(string folder)
    {
        // Every folder gets these files, and its config.json could not tell the angles.
        if (Config.Rope.Scaling == RopeScaling.Table) throw new CheckpointException(GgufRope.NoFolderForm(Location));
        GgufSideFiles.Write(this, _file, folder);
    }

    /// <inheritdoc/>
    public PendingTensor Store(string name, SafetensorsType type) => this.Converted(name, type);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    /// <summary>Name in the file.</summary>
    /// <exception cref="CheckpointException">The tensor is absent.</exception>
    internal string Stored(string name) => _names.TryGetValue(name, out string? stored)
        ? stored
        : throw new CheckpointException($"{Location}: tensor '{name}' is absent; the file does not hold a whole model of its architecture.");
}
