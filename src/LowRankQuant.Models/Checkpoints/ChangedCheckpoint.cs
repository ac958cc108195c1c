using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>
/// A checkpoint of whose tensors some are others: what transforms made of them. With a head of its own among them where the source's is the embedding, the model is no
/// longer tied. Writers that read from it write the changed tensors, in the form of the family.
/// </summary>
public sealed class ChangedCheckpoint : ICheckpoint
{
    private readonly ChangedTensors _changes;
    private readonly bool _untied;

    /// <summary>Puts changed tensors on a checkpoint.</summary>
    /// <param name="source">The checkpoint; owned from now on.</param>
    /// <param name="changes">By the names of the model's tensors; every one is as long as the source's. Read when it is asked for.</param>
    /// <exception cref="CheckpointException">A tensor is none of the model's.</exception>
    public ChangedCheckpoint(ICheckpoint source, ChangedTensors changes)
    {
        Base = source;
        _changes = changes;
        _untied = source.Config.TiedEmbeddings && changes.Contains(source.Architecture.HeadName);
        foreach (string name in changes.Names)
        {
            if (!source.Contains(name) && !(_untied && name == source.Architecture.HeadName))
                throw new CheckpointException($"{source.Location}: a changed tensor '{name}', which the model does not have; the changes belong to another model.");
        }
        Architecture = _untied ? source.Architecture with { Config = source.Config with { TiedEmbeddings = false } } : source.Architecture;
        Layout = _untied ? Architecture.Layout(name => source.Layout.Find(name) is { View: null }) : source.Layout;
        HuggingFaceConfig = source.HuggingFaceConfig;
        if (!_untied) return;
        HuggingFaceConfig = (JsonObject)HuggingFaceConfig.DeepClone();
        HuggingFaceConfig[ConfigReader.TieKey] = false;
        JsonObject text = ModelFamilies.TextPart(HuggingFaceConfig);
        if (text.ContainsKey(ConfigReader.TieKey)) text[ConfigReader.TieKey] = false;
    }

    /// <summary>The checkpoint without the changes.</summary>
    public ICheckpoint Base { get; }

    /// <inheritdoc/>
    public string Location => Base.Location;

    /// <inheritdoc/>
    public string Kind => Base.Kind;

    /// <inheritdoc/>
    public Architecture Architecture { get; }

    /// <inheritdoc/>
    public ModelLayout Layout { get; }

    /// <inheritdoc/>
    public ScaleType NativeScaleType => Base.NativeScaleType;

    /// <inheritdoc/>
    public long StoredBytes => Base.StoredBytes;

    /// <inheritdoc/>
    public IReadOnlyCollection<string> TensorNames => _untied && !Base.TensorNames.Contains(Architecture.HeadName) ? [.. Base.TensorNames, Architecture.HeadName] : Base.TensorNames;

    /// <inheritdoc/>
    public IReadOnlyList<PendingTensor> Carried => Base.Carried;

    /// <inheritdoc/>
    public IReadOnlyList<string> Warnings => Base.Warnings;

    /// <inheritdoc/>
    public JsonObject HuggingFaceConfig { get; }

    /// <inheritdoc/>
    public RuntimeQuantizers? Quantizers => Base.Quantizers;

    /// <inheritdoc/>
    public bool HasTokenizer => Base.HasTokenizer;

    /// <inheritdoc/>
    public string WrittenName(string name) => Base.WrittenName(name);

    /// <inheritdoc/>
    public bool Contains(string name) => _changes.Contains(name) || Base.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name) => Base.Contains(name) || !_changes.Contains(name) ? Base.ShapeOf(name) : Base.ShapeOf(Architecture.EmbeddingName);

    /// <inheritdoc/>
    public void ReadAhead(string module) => Base.ReadAhead(module);

    /// <inheritdoc/>
    public void ReleasePages() => Base.ReleasePages();

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        if (!_changes.Contains(name))
        {
            Base.Read(name, destination);
            return;
        }
        float[] values = _changes.Read(name);
        if (values.Length != destination.Length)
            throw new CheckpointException($"{Location}: changed tensor '{name}' has {values.Length} values where {destination.Length} are asked for; the changes belong to another model.");
        values.CopyTo(destination);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) => _changes.Contains(name) ? null : Base.ReadQuantized(name);

    /// <inheritdoc/>
    public OrderedWeight? ReadOrdered(string name) => _changes.Contains(name) ? null : Base.ReadOrdered(name);

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => Base.StoredBitsOf(Base.Contains(name) ? name : Architecture.EmbeddingName);

    /// <inheritdoc/>
    public string? BlockTypeOf(string name) => _changes.Contains(name) ? null : Base.BlockTypeOf(name);

    /// <inheritdoc/>
    public double? RelativeLossOf(string name) => _changes.Contains(name) ? null : Base.RelativeLossOf(name);

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        Base.AppendContentHash(hash);
        foreach (string name in _changes.Names)
        {
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes(name));
            hash.AppendData(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(_changes.Read(name)));
        }
    }

    /// <inheritdoc/>
    public ITokenizer LoadTokenizer() => Base.LoadTokenizer();

    /// <inheritdoc/>
    public string? ReadChatTemplate() => Base.ReadChatTemplate();

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> ReadChatTemplates() => Base.ReadChatTemplates();

    /// <inheritdoc/>
    public void CopySideFiles(string folder) => Base.CopySideFiles(folder);

    /// <inheritdoc/>
    public SafetensorsType? OwnTypeOf(string name) => Base.OwnTypeOf(name);

    /// <inheritdoc/>
    public PendingTensor Store(string name, SafetensorsType type) => _changes.Contains(name) ? this.Converted(name, type) : Base.Store(name, type);

    /// <inheritdoc/>
    public void Dispose() => Base.Dispose();
}
