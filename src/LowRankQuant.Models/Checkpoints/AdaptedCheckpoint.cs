using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>A checkpoint together with an adapter: every weight that has a branch is read as W + B A.</summary>
public sealed class AdaptedCheckpoint : ICheckpoint
{
    private const string WeightSuffix = ".weight";

    /// <summary>Puts an adapter on a checkpoint; both are owned from now on.</summary>
    /// <exception cref="CheckpointException">The adapter has a branch for a module that the model lacks or that has another shape.</exception>
    public AdaptedCheckpoint(ICheckpoint checkpoint, ILowRankAdapter adapter)
    {
        Base = checkpoint;
        Adapter = adapter;
        BranchNames = adapter.Modules.Select(module => module + WeightSuffix).ToHashSet(StringComparer.Ordinal);
        foreach (string module in adapter.Modules)
        {
            string name = module + WeightSuffix;
            if (!checkpoint.Contains(name))
                throw new CheckpointException($"{adapter.Location}: a branch for '{module}', which {checkpoint.Location} does not have; the adapter belongs to another model.");
            (int outFeatures, int inFeatures) = adapter.ShapeOf(module);
            checkpoint.CheckShape(name, outFeatures, inFeatures);
        }
    }

    /// <summary>The checkpoint without the adapter.</summary>
    public ICheckpoint Base { get; }

    /// <summary>The adapter.</summary>
    public ILowRankAdapter Adapter { get; }

    /// <summary>Names of the weights that have a branch.</summary>
    public IReadOnlySet<string> BranchNames { get; }

    /// <inheritdoc/>
    public string Location => Base.Location;

    /// <inheritdoc/>
    public string Kind => $"{Base.Kind} with adapter";

    /// <inheritdoc/>
    public Architecture Architecture => Base.Architecture;

    /// <inheritdoc/>
    public ModelLayout Layout => Base.Layout;

    /// <inheritdoc/>
    public DecoderConfig Config => Base.Config;

    /// <inheritdoc/>
    public ScaleType NativeScaleType => Base.NativeScaleType;

    /// <inheritdoc/>
    public long StoredBytes => Base.StoredBytes + Adapter.StoredBytes;

    /// <inheritdoc/>
    public IReadOnlyCollection<string> TensorNames => Base.TensorNames;

    /// <inheritdoc/>
    public IReadOnlyList<PendingTensor> Carried => Base.Carried;

    /// <inheritdoc/>
    public IReadOnlyList<string> Warnings => Base.Warnings;

    /// <inheritdoc/>
    public JsonObject HuggingFaceConfig => Base.HuggingFaceConfig;

    /// <inheritdoc/>
    public string WrittenName(string name) => Base.WrittenName(name);

    /// <inheritdoc/>
    public bool Contains(string name) => Base.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name) => Base.ShapeOf(name);

    /// <inheritdoc/>
    public void ReadAhead(string module) => Base.ReadAhead(module);

    /// <inheritdoc/>
    public void ReleasePages() => Base.ReleasePages();

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        Base.Read(name, destination);
        ReadBranch(name)?.AddTo(destination);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) => Base.ReadQuantized(name) is { } weight ? weight.WithBranch(ReadBranch(name)) : null;

    /// <inheritdoc/>
    public OrderedWeight? ReadOrdered(string name) => Base.ReadOrdered(name);

    /// <inheritdoc/>
    public RuntimeQuantizers? Quantizers => Base.Quantizers;

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => Base.StoredBitsOf(name) + (BranchNames.Contains(name) ? Adapter.StoredBitsOf(name[..^WeightSuffix.Length]) : 0);

    /// <inheritdoc/>
    public string? BlockTypeOf(string name) => Base.BlockTypeOf(name);

    /// <inheritdoc/>
    public double? RelativeLossOf(string name) => Base.RelativeLossOf(name);

    /// <summary>The branch of a weight, or null.</summary>
    public LowRankBranch? ReadBranch(string name) => BranchNames.Contains(name) ? Adapter.Read(name[..^WeightSuffix.Length]) : null;

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        Base.AppendContentHash(hash);
        FileSamples.Append(hash, Adapter.TensorPath);
    }

    /// <inheritdoc/>
    public bool HasTokenizer => Base.HasTokenizer;

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
    public PendingTensor Store(string name, SafetensorsType type) => BranchNames.Contains(name) ? this.Converted(name, type) : Base.Store(name, type);

    /// <inheritdoc/>
    public void Dispose()
    {
        Base.Dispose();
        Adapter.Dispose();
    }
}
