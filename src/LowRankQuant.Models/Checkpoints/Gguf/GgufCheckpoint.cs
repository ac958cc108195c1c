using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// A GGUF file (or its first part) seen as a Hugging Face checkpoint: names are translated, experts and projections that lie behind each other in one tensor come
/// out of it, those that lie in parts come together again, and rows that lie in another order, as those of q and k in some architectures, come back in the model's.
/// </summary>
public sealed class GgufCheckpoint : ICheckpoint
{
    private readonly GgufFile _file;
    private readonly Dictionary<string, IReadOnlyList<GgufPlace>> _places;

    private GgufCheckpoint(GgufFile file, GgufConfig config, IReadOnlyList<GgufStored> stored)
    {
        _file = file;
        HuggingFaceConfig = config.Json;
        Architecture = config.Model;
        // A GGUF file has every tensor under a name of its own; how they would lie in a folder is what a folder needs.
        Layout = Architecture.Layout(_ => false);
        Warnings = [.. config.Warnings, .. GgufVocabularyReader.Warnings(file)];
        _places = GgufPlace.ByName(stored);
        StoredBytes = file.Files.Sum(FileLength.Of);
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
    public IReadOnlyList<int> ShapeOf(string name) => Places(name)[0].Part.Spec.Shape;

    /// <inheritdoc/>
    public void ReadAhead(string module)
    {
        foreach (string name in TensorNames.Where(name => name.StartsWith(module + ".", StringComparison.Ordinal)).SelectMany(Places).Where(place => !place.Tensor.IsKey).Select(place => place.Tensor.Name).Distinct())
            _file.ReadAhead(name);
    }

    /// <inheritdoc/>
    public void ReleasePages() => _file.ReleasePages();

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        IReadOnlyList<GgufPlace> places = Places(name);
        GgufPart part = places[0].Part;
        if (destination.Length != (long)part.SpecRows * part.Columns)
            throw new CheckpointException($"{Location}: tensor '{name}' has {(long)part.SpecRows * part.Columns} elements; {destination.Length} were asked for.");
        if (places[0].Tensor.IsKey)
        {
            destination[0] = _file.Metadata.FindSingles(places[0].Tensor.Name)![places[0].FirstRow];
            return;
        }
        foreach (GgufPlace place in places) place.Read(_file, destination);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name)
    {
        if (!_places.TryGetValue(name, out IReadOnlyList<GgufPlace>? places)) return null;
        var parts = new List<(QuantizedWeight Weight, Func<int, int> RowOf)>();
        foreach (GgufPlace place in places)
        {
            if (place.ReadQuantized(_file) is not { } weight) return null;
            if (place.Part is { IsWhole: true, Rows: null }) return weight;
            int[] rows = place.Part.Rows!;
            parts.Add((weight, row => rows[row]));
        }
        // Blocks of two types make no one weight.
        return QuantizedWeight.JoinRows(places[0].Part.SpecRows, parts);
    }

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => Places(name).Sum(place => place.Tensor.IsKey ? 8 * sizeof(float)
        : 8 * _file.Tensors[place.Tensor.Name].ByteLength / place.Tensor.Parts.Count);

    /// <inheritdoc/>
    public string? BlockTypeOf(string name) => string.Join(" and ", Places(name).Select(place => place.Tensor.IsKey ? nameof(GgmlType.F32) : _file.Tensors[place.Tensor.Name].Type.ToString()).Distinct());

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

    /// <summary>Names in the file.</summary>
    /// <exception cref="CheckpointException">The tensor is absent.</exception>
    internal IEnumerable<string> Stored(string name) => Places(name).Select(place => place.Tensor.Name);

    /// <summary>Values of a model as they come back from the file, which holds them in another form: as 1 + w, or as -exp w.</summary>
    /// <param name="name">Tensor.</param>
    /// <param name="values">Its values in the model.</param>
    internal float[] Kept(string name, float[] values)
    {
        GgufPlace place = Places(name)[0];
        return place.Part.Alters ? [.. values.Select(value => place.Part.ToModel(place.Part.ToFile(value), Location, place.Tensor.Name))] : values;
    }

    private IReadOnlyList<GgufPlace> Places(string name) => _places.TryGetValue(name, out IReadOnlyList<GgufPlace>? places)
        ? places
        : throw new CheckpointException($"{Location}: tensor '{name}' is absent; the file does not hold a whole model of its architecture.");
}
