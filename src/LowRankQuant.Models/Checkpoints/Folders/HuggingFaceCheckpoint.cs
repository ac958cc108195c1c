using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// A Hugging Face folder: config.json, safetensors files, tokenizer; its linears in plain floats or in a container. Tensors have their standard names, see
/// <see cref="StandardNames"/>; the one matrix of a tied model has that of the embedding.
/// </summary>
public sealed class HuggingFaceCheckpoint : ICheckpoint
{
    private readonly FolderContents _contents;
    private readonly ViewedTensors _viewed;
    private readonly HashSet<string> _names;
    private readonly string? _embedding;
    private readonly WrittenNames? _written;
    private readonly string _head;

    private HuggingFaceCheckpoint(FolderContents contents, OutputHeadChoice head, ModelStructure structure, JsonObject json)
    {
        _contents = contents;
        _viewed = new ViewedTensors(contents);
        Architecture = structure.Architecture;
        Layout = structure.Layout;
        _head = Architecture.HeadName;
        _embedding = head.EmbeddingIsHead ? Architecture.EmbeddingName : null;
        HuggingFaceConfig = json;
        Warnings = [.. contents.Container?.Warnings ?? [], .. structure.Warnings];
        _written = Architecture.IsPart ? new WrittenNames(contents.Stored, Architecture) : null;
        Carried = [.. structure.Carried.Select(name => PendingTensor.Copy(contents.Stored, name, Architecture.IsPart ? contents.Stored.StoredNameOf(name) : name))];
        HashSet<string> others = [.. structure.Carried];
        if (head.Tied && !head.EmbeddingIsHead) others.Add(_head);
        others.UnionWith(Layout.Tensors.Where(tensor => tensor.View is { IsMxfp4: true }).Select(tensor => tensor.View!.Mxfp4Scales));
        ILookup<string, string> taken = Layout.Tensors.Where(tensor => tensor.View is not null).ToLookup(tensor => tensor.View!.Stored, tensor => tensor.Name);
        TensorNames =
        [
            .. contents.Names.Where(name => !others.Contains(name) && !Architecture.IsBuffer(name)).SelectMany(name => taken.Contains(name) ? taken[name] : [Known(name)]),
        ];
        _names = [.. TensorNames];
        StoredBytes = contents.Stored.Files.Sum(file => FileLength.Of(file.Location));
    }

    /// <inheritdoc/>
    public string Location => _contents.Location;

    /// <inheritdoc/>
    public string Kind => Container is null ? "Hugging Face folder" : Container.Kind;

    /// <summary>How the quantized linears are stored; null for plain floats.</summary>
    public QuantizedContainer? Container => _contents.Container;

    /// <inheritdoc/>
    public Architecture Architecture { get; }

    /// <inheritdoc/>
    public ModelLayout Layout { get; }

    /// <inheritdoc/>
    public DecoderConfig Config => Architecture.Config;

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
            HashSet<string> linears = [.. Layout.Modules.Select(module => StoredName($"{module.Name}.weight"))];
            IEnumerable<SafetensorsType> types = _names.Select(StoredName).Select(_contents.TypeOf).OfType<SafetensorsType>();
            string? sample = _contents.Stored.Names.FirstOrDefault(name => linears.Contains(name) && _contents.TypeOf(name) is { } type && IsScale(type));
            return (sample is null ? types.FirstOrDefault(IsScale, SafetensorsType.F32) : _contents.Stored.Tensors[sample].Type).ToScaleType();
        }
    }

    /// <summary>Opens a folder.</summary>
    /// <exception cref="CheckpointException">config.json is absent or unsound, or its tensors are not those that it asks for.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported, or a tensor has no place in it.</exception>
    /// <param name="folder">The folder.</param>
    /// <param name="use">What is done with it; a model that no family knows can be looked at and rounded.</param>
    /// <param name="families">Families beside the known ones; null for none.</param>
    public static HuggingFaceCheckpoint Open(string folder, ModelUse use = ModelUse.Any, IReadOnlyList<IModelFamily>? families = null)
    {
        string file = Path.Combine(folder, ModelConfigFile.Name);
        JsonObject json = ModelConfigFile.Read(file);
        Architecture? architecture = use == ModelUse.Weights && !ModelFamilies.Know(json) ? null : ModelFamilies.Read(json, file, families);
        SafetensorsFolder tensors = SafetensorsFolder.Open(folder, name => architecture is null ? name : StandardNames.Of(name, architecture));
        try
        {
            var contents = new FolderContents(folder, tensors, ContainerOpener.Open(json, folder, tensors));
            if (architecture is null) return new HuggingFaceCheckpoint(contents, new OutputHeadChoice(false, false, null), ModelStructure.OfUnknown(contents, json), json);
            OutputHeadChoice head = OutputHeadChoice.Of(contents, architecture, json);
            ModelStructure structure = ModelStructure.Of(contents, head, json, file, families);
            return new HuggingFaceCheckpoint(contents, head, structure, json);
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public string WrittenName(string name) => _written?.Of(name) ?? name;

    /// <inheritdoc/>
    public void ReadAhead(string module) => _contents.Stored.ReadAhead(module + ".");

    /// <inheritdoc/>
    public void ReleasePages() => _contents.Stored.ReleasePages();

    /// <inheritdoc/>
    public bool Contains(string name) => _names.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name) => ViewOf(name) is null ? _contents.ShapeOf(Present(name)) : Layout.Find(name)!.Shape;

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        if (ViewOf(name) is { } view) _viewed.Read(view, destination);
        else _contents.Read(Present(name), destination);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) =>
        ViewOf(name) is { } view ? _viewed.ReadQuantized(view) : Module(name) is { } module ? Container!.ReadQuantized(module) : null;

    /// <inheritdoc/>
    public OrderedWeight? ReadOrdered(string name) =>
        ViewOf(name) is { } view ? _viewed.ReadOrdered(view) : Module(name) is { } module ? Container!.Read(module) : null;

    /// <inheritdoc/>
    public long StoredBitsOf(string name)
    {
        if (ViewOf(name) is { } view) return _viewed.StoredBits(view);
        return Module(name) is { } module ? Container!.StoredBitsOf(module) : 8 * _contents.Stored.Tensors[Present(name)].ByteLength;
    }

    /// <inheritdoc/>
    public string? BlockTypeOf(string name) => ViewOf(name) is null && Module(name) is { } module ? Container!.FloatTypeOf(module) : null;

    /// <inheritdoc/>
    public double? RelativeLossOf(string name) =>
        ViewOf(name) is { } view ? _viewed.ReadQuantized(view) is { } viewed ? StoredLoss.Of(viewed) : null : Module(name) is { } module ? Container!.RelativeLossOf(module) : null;

    /// <summary>A quantized linear as the container's engines compute it.</summary>
    /// <param name="name">Its weight.</param>
    /// <param name="destination">[out, in].</param>
    public void ReadRounded(string name, Span<float> destination)
    {
        string module = StoredName(name)[..^".weight".Length];
        if (ViewOf(name) is not { } view)
        {
            Container!.ReadRounded(module, destination);
            return;
        }
        int columns = view.TakenColumns;
        var all = new float[(long)view.Rows * view.Columns];
        Container!.ReadRounded(module, all);
        for (int row = 0; row < view.Pattern.Count; row++) all.AsSpan(view.Pattern.Of(row) * columns, columns).CopyTo(destination[(row * columns)..]);
    }

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
    public void CopySideFiles(string folder)
    {
        SideFiles.Copy(Location, folder);
        // Such a model is run by code of its own, which its configuration names.
        if (Architecture.Unknown is not null && HuggingFaceConfig.ContainsKey("auto_map")) SideFiles.CopyCode(Location, folder);
    }

    /// <inheritdoc/>
    public SafetensorsType? OwnTypeOf(string name) =>
        NativeScaleType != ScaleType.Float32 && ViewOf(name) is null && _names.Contains(name) && _contents.TypeOf(StoredName(name)) is SafetensorsType.F32 ? SafetensorsType.F32 : null;

    /// <inheritdoc/>
    public PendingTensor Store(string name, SafetensorsType type)
    {
        if (ViewOf(name) is not null) return this.Converted(name, type);
        string stored = Present(name);
        return _contents.TypeOf(stored) == type ? PendingTensor.Copy(_contents.Stored, stored, name) : this.Converted(name, type);
    }

    /// <inheritdoc/>
    public void Dispose() => _contents.Stored.Dispose();

    /// <summary>Whether a weight is stored as MXFP4.</summary>
    internal bool IsMxfp4(string name) => ViewOf(name) is { IsMxfp4: true };

    /// <summary>Its rows as blocks of GGUF, codes and scales as they are.</summary>
    /// <param name="name">The weight.</param>
    /// <param name="receive">Given the rows in order; valid during the call.</param>
    internal void ReadMxfp4Blocks(string name, Action<ReadOnlySpan<byte>> receive)
    {
        StoredView view = ViewOf(name)!;
        byte[] row = new byte[Mxfp4Rows.GgufBytes(view.Columns)];
        for (int i = 0; i < view.Pattern.Count; i++)
        {
            Mxfp4Rows.ToGguf(_contents, view, i, row);
            receive(row);
        }
    }

    private StoredView? ViewOf(string name) => _names.Contains(name) ? Layout.Find(name)?.View : null;

    private string? Module(string name) => _names.Contains(name) ? _contents.Quantized(StoredName(name)) : null;

    private string Present(string name) => _names.Contains(name) ? StoredName(name) : throw _contents.Absent(name);

    // The one matrix of a tied model may be stored under the name of the head.
    private string StoredName(string name) => name == _embedding ? _head : Layout.Find(name)?.View?.Stored ?? name;

    private string Known(string stored) => _embedding is not null && stored == _head ? _embedding : stored;

    private static bool IsScale(SafetensorsType type) => type is SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16;
}
