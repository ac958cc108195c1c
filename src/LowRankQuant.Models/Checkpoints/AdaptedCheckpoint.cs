using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>A checkpoint together with a PEFT adapter: every weight that has a branch is read as W + B A.</summary>
public sealed class AdaptedCheckpoint : ICheckpoint
{
    private const string WeightSuffix = ".weight";
    private readonly ICheckpoint _base;
    private readonly PeftAdapter _adapter;

    /// <summary>Puts an adapter on a checkpoint; both are owned from now on.</summary>
    /// <exception cref="CheckpointException">The adapter has a branch for a module that the model lacks or that has another shape.</exception>
    public AdaptedCheckpoint(ICheckpoint checkpoint, PeftAdapter adapter)
    {
        _base = checkpoint;
        _adapter = adapter;
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

    /// <summary>The checkpoint without its adapter.</summary>
    public ICheckpoint Base => _base;

    /// <summary>Names of the weights that have a branch.</summary>
    public IReadOnlySet<string> BranchNames { get; }

    /// <inheritdoc/>
    public string Location => _base.Location;

    /// <inheritdoc/>
    public string Kind => $"{_base.Kind} with adapter";

    /// <inheritdoc/>
    public DecoderConfig Config => _base.Config;

    /// <inheritdoc/>
    public ScaleType NativeScaleType => _base.NativeScaleType;

    /// <inheritdoc/>
    public long StoredBytes => _base.StoredBytes + _adapter.StoredBytes;

    /// <inheritdoc/>
    public IReadOnlyCollection<string> TensorNames => _base.TensorNames;

    /// <inheritdoc/>
    public JsonObject HuggingFaceConfig => _base.HuggingFaceConfig;

    /// <inheritdoc/>
    public bool Contains(string name) => _base.Contains(name);

    /// <inheritdoc/>
    public IReadOnlyList<int> ShapeOf(string name) => _base.ShapeOf(name);

    /// <inheritdoc/>
    public void Read(string name, Span<float> destination)
    {
        _base.Read(name, destination);
        ReadBranch(name)?.AddTo(destination);
    }

    /// <inheritdoc/>
    public QuantizedWeight? ReadQuantized(string name) => _base.ReadQuantized(name) is { } weight ? weight.WithBranch(ReadBranch(name)) : null;

    /// <inheritdoc/>
    public long StoredBitsOf(string name) => _base.StoredBitsOf(name) + (ReadBranch(name)?.StoredBits ?? 0);

    /// <summary>The branch of a weight, or null.</summary>
    public LowRankBranch? ReadBranch(string name) => BranchNames.Contains(name) ? _adapter.Read(name[..^WeightSuffix.Length]) : null;

    /// <inheritdoc/>
    public void AppendContentHash(IncrementalHash hash)
    {
        _base.AppendContentHash(hash);
        FileSamples.Append(hash, _adapter.TensorPath);
    }

    /// <inheritdoc/>
    public ITokenizer LoadTokenizer() => _base.LoadTokenizer();

    /// <inheritdoc/>
    public string? ReadChatTemplate() => _base.ReadChatTemplate();

    /// <inheritdoc/>
    public void CopySideFiles(string folder) => _base.CopySideFiles(folder);

    /// <inheritdoc/>
    public PendingTensor Store(string name, SafetensorsType type) => BranchNames.Contains(name) ? this.Converted(name, type) : _base.Store(name, type);

    /// <inheritdoc/>
    public void Dispose()
    {
        _base.Dispose();
        _adapter.Dispose();
    }
}
