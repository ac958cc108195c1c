using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// A GGUF file (or its first part) seen as a Hugging Face checkpoint: names are translated, experts and projections that lie behind each other in one tensor come
/// out of it, and the rows of q and k, which GGUF keeps in interleaved rotary order for some architectures, come back in half-split order.
/// </summary>
public sealed class GgufCheckpoint : ICheckpoint
{
    private readonly GgufFile _file;
    private readonly Dictionary<string, GgufPlace> _places;

    private GgufCheckpoint(GgufFile file, GgufConfig config, IReadOnlyList<GgufStored> stored)
    {
        _file = file;
        HuggingFaceConfig = config.Json;
        Architecture = config.Model;
        // A GGUF file has every tensor under a name of its own; how they would lie in a folder is what a folder needs.
        Layout = Architecture.Layout(_ => false);
        Warnings = [.. config.Warnings, .. GgufVocabularyReader.Warnings(file)];
        _places = GgufPlace.ByName(stored);
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
    public IReadOnlyCollection<string> TensorNames => _places.Keys;

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
            if (GgufLoraAdapter.Is(file)) throw ForeignModels.AdapterAlone(path);
            var config = GgufConfig.Read(file);
            return new GgufCheckpoint(file, config, GgufStructure.Check(file, config.Model));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Contains(string name) => _places.ContainsKey(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name) => Place(name).Part.Shape;

    /// <inheritdoc/>
    public void ReadAhead(string module)
    {
        foreach (string name in TensorNames.Where(name => name.StartsWith(module + ".", StringComparison.Ordinal)).Select(Place).Where(place => !place.Tensor.IsKey).Select(place => place.Tensor.Name).Distinct())
            _file.ReadAhead(name);
    }

    /// <inheritdoc/>
    public void ReleasePages() => _file.ReleasePages();

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        GgufPlace place = Place(name);
        if (destination.Length != (long)place.Rows * place.Columns)
            throw new CheckpointException($"{Location}: tensor '{name}' has {(long)place.Rows * place.Columns} elements; {destination.Length} were asked for.");
        if (place.Tensor.IsKey)
        {
            destination[0] = _file.Metadata.FindSingles(place.Tensor.Name)![place.FirstRow];
            return;
        }
        _file.ReadSingles(place.Tensor.Name, destination, (long)place.FirstRow * place.Columns);
        if (place.Tensor.Offset != 0)
        {
            for (int i = 0; i < destination.Length; i++) destination[i] -= place.Tensor.Offset;
        }
        if (place.Tensor.RotaryHeads > 0) RotaryRows.ToHalfSplit(destination, place.Tensor.RotaryHeads, place.Rows, place.Columns);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name)
    {
        if (!_places.TryGetValue(name, out GgufPlace? place) || place.Part.Shape.Count != 2) return null;
        int heads = place.Tensor.RotaryHeads, headSize = heads == 0 ? 0 : place.Rows / heads;
        return GgufBlockDecoder.Read(_file, place.Tensor.Name, place.FirstRow, place.Rows, heads == 0 ? null : row => RotaryRows.HalfSplitRow(row, headSize));
    }

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => Place(name).Tensor.IsKey ? 8 * sizeof(float) : 8 * _file.Tensors[Stored(name)].ByteLength / Place(name).Tensor.Parts.Count;

    /// <inheritdoc/>
    public string? BlockTypeOf(string name) => Place(name).Tensor.IsKey ? nameof(GgmlType.F32) : _file.Tensors[Stored(name)].Type.ToString();

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
    internal string Stored(string name) => Place(name).Tensor.Name;

    /// <summary>What the file adds to every value of a tensor.</summary>
    internal float OffsetOf(string name) => Place(name).Tensor.Offset;

    private GgufPlace Place(string name) => _places.TryGetValue(name, out GgufPlace? place)
        ? place
        : throw new CheckpointException($"{Location}: tensor '{name}' is absent; the file does not hold a whole model of its architecture.");
}
