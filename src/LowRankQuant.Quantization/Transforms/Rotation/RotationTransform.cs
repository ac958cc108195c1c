using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;

namespace LowRankQuant.Quantization.Transforms.Rotation;

/// <summary>Choices of the rotations.</summary>
public sealed record RotationOptions
{
    /// <summary>Whether the residual stream of the whole model is rotated (QuaRot's and SpinQuant's R1).</summary>
    public bool Stream { get; init; } = true;

    /// <summary>Whether the heads of values are rotated between value and output projections (R2).</summary>
    public bool Values { get; init; } = true;

    /// <summary>Seed of the signs.</summary>
    public ulong Seed { get; init; }
}

/// <summary>
/// Rotations that are folded into weights for good (QuaRot, Ashkboos et al., NeurIPS 2024; the names of SpinQuant, Liu et al., ICLR 2025): R1 of the residual stream, in
/// embedding, every block and the head; R2 of the values of every key head. Each part is rotated by itself, with signs from one seed, so that one is in memory at a time.
/// Of a model whose head is the embedding the two become different matrices, since the final norm's weight goes into the head.
/// </summary>
public sealed class RotationTransform : IBlockTransform
{
    private const ulong StreamPath = 1, ValuesPath = 2;
    private readonly CausalModel _model;
    private readonly RotationOptions _options;
    private readonly HadamardRotation? _stream;

    /// <summary>Makes the rotations of a model.</summary>
    /// <param name="model">The model as it is stored.</param>
    /// <param name="options">Choices.</param>
    /// <exception cref="TransformException">The residual stream of the model cannot be rotated.</exception>
    public RotationTransform(CausalModel model, RotationOptions options)
    {
        _model = model;
        _options = options;
        if (!options.Stream) return;
        if (model.StreamRotationObstacle() is { } obstacle)
            throw new TransformException($"{model.Config.ModelType}: the residual stream cannot be rotated without changing the model: {obstacle}. Rotate the values alone.");
        _stream = new HadamardRotation(model.Config.HiddenSize, options.Seed, StreamPath);
    }

    /// <inheritdoc/>
    public string Name => "rotation";

    /// <inheritdoc/>
    public bool NeedsInputs => false;

    /// <summary>
    /// From the name of a tensor and a value to the value as it will be stored, for embedding and head; null where all digits are. Blocks have their own,
    /// <see cref="IDecoderBlock.StoredRounding"/>.
    /// </summary>
    public Func<string, float, float>? StoredRounding { get; init; }

    /// <summary>The rotation of the residual stream; null where it is not rotated.</summary>
    public HadamardRotation? Stream => _stream;

    /// <summary>The rotation of the values of a key head.</summary>
    /// <param name="block">Number of the block.</param>
    /// <param name="head">Number of the key head.</param>
    /// <param name="headSize">Its elements.</param>
    public HadamardRotation OfValues(int block, int head, int headSize) => new(headSize, _options.Seed, ValuesPath, (ulong)block, (ulong)head);

    /// <summary>Loads the embedding, rotated.</summary>
    public InputEmbedding LoadEmbedding()
    {
        InputEmbedding embedding = _model.LoadEmbedding();
        if (_stream is not null) embedding.RotateStream(_stream, RoundingOf(_model.EmbeddingName));
        return embedding;
    }

    /// <summary>Loads final norm and output head, rotated.</summary>
    public OutputHead LoadHead() => LoadHead(out _);

    /// <summary>Embedding, head and final norm as they are to be stored; the two matrices are made when they are asked for.</summary>
    public ChangedTensors Vocabulary()
    {
        var changes = new ChangedTensors();
        if (_stream is null) return changes;
        using (LoadHead(out ChangedTensors norm)) changes.Add(norm);
        changes.Add(_model.EmbeddingName, () =>
        {
            using InputEmbedding embedding = LoadEmbedding();
            return embedding.Table.ToArray();
        });
        changes.Add(_model.HeadName, () =>
        {
            using OutputHead head = LoadHead();
            return head.WeightValues();
        });
        return changes;
    }

    /// <inheritdoc/>
    public BlockTransformResult Apply(BlockTransformContext context)
    {
        IDecoderBlock block = context.Block;
        if (_stream is not null) block.Folds.RotateStream(_stream);
        FoldSite[] sites = _options.Values ? [.. block.Folds.Sites.Where(site => site.Kind == FoldKind.Values)] : [];
        foreach (FoldSite site in sites) site.Rotate(head => OfValues(block.Index, head, site.HeadSize));
        return new BlockTransformResult
        {
            Sites = [.. sites.Select(site => new TransformedSite(site.Kind, site.Source, [.. site.Slots.Select(slot => slot.Name)], 1, 1))],
            Changes = block.Changes(weights: false),
            Refused = _options.Values ? [.. block.Folds.Refused.Where(refused => refused.Kind == FoldKind.Values)] : [],
        };
    }

    /// <inheritdoc/>
    public void Restore(IDecoderBlock block, IReadOnlyDictionary<string, float[]> state) => Apply(new BlockTransformContext { Block = block });

    private Func<float, float>? RoundingOf(string name) => StoredRounding is { } rounding ? value => rounding(name, value) : null;

    private OutputHead LoadHead(out ChangedTensors norm)
    {
        OutputHead head = _model.LoadHead();
        norm = _stream is null ? new ChangedTensors() : head.RotateStream(_stream, RoundingOf(_model.HeadName));
        return head;
    }
}
