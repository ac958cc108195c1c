using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Mixers;

/// <summary>
/// Multi-head latent attention (MLA): keys and values are made from a short vector of each position, the latent, and one rotated key that all heads share. With n plain and r
/// rotated elements of a head:
/// <code>
/// q = q_b norm(q_a x), or q x                  per head n plain, then r rotated
/// [latent, k_r] = kv_a x                       k_r [r] for all heads
/// [k_n, v] = kv_b norm(latent)                 per head k_n [n], then v
/// k = [k_n, rotate k_r],  q = [q_n, rotate q_r] * factor of the position
/// y = o(softmax(scale q k^T, causal) v)
/// </code>
/// It is computed as it is written; keys and values are kept as the heads see them.
/// </summary>
internal sealed record LatentAttention : IMixer
{
    /// <summary>Projection to the queries' latent, [queryRank, hidden]; null where queries are made from x itself.</summary>
    public LinearSlot? QueryLatent { get; init; }

    /// <summary>Normalises the queries' latent; null without one.</summary>
    public INorm? QueryNorm { get; init; }

    /// <summary>Query projection, [heads * headSize, queryRank], or [heads * headSize, hidden] without a latent.</summary>
    public required LinearSlot Query { get; init; }

    /// <summary>Projection to the latent and the shared key, [latent + rotated, hidden].</summary>
    public required LinearSlot Latent { get; init; }

    /// <summary>Normalises the latent.</summary>
    public required INorm LatentNorm { get; init; }

    /// <summary>Projection of the latent to plain keys and values, by heads, [heads * (plain + valueHeadSize), latent].</summary>
    public required LinearSlot KeyValue { get; init; }

    /// <summary>Output projection, [hidden, heads * valueHeadSize].</summary>
    public required LinearSlot Output { get; init; }

    /// <summary>Heads, sizes and scale, with as many key heads as heads; HeadSize is n + r.</summary>
    public required AttentionShape Shape { get; init; }

    /// <summary>r.</summary>
    public required int RotatedSize { get; init; }

    /// <summary>Angle tables of r elements, or null where nothing rotates.</summary>
    public RopeTables? Rope { get; init; }

    /// <summary>Multiplies the query at a position; null for ones.</summary>
    public Func<int, float>? QueryFactor { get; init; }

    // Made when the block is put together.
    private CacheSite? _keys, _values;

    /// <inheritdoc/>
    public IReadOnlyList<CacheSite> Caches =>
    [
        _keys ??= new CacheSite(CacheKind.Keys, Shape.Heads, Shape.HeadSize) { StorageObstacle = Obstacle },
        _values ??= new CacheSite(CacheKind.Values, Shape.Heads, Shape.ValueHeadSize) { StorageObstacle = Obstacle },
    ];

    private const string Obstacle = "engines keep the latent of a latent attention (MLA) and not the keys and values that are made from it, so steps of these mean nothing to them";

    private int PlainSize => Shape.HeadSize - RotatedSize;

    private int KeyWidth => Shape.Heads * Shape.HeadSize;

    private int ValueWidth => Shape.Heads * Shape.ValueHeadSize;

    /// <inheritdoc/>
    public StateSize StateSize => new(0, sizeof(float) * ((long)KeyWidth + ValueWidth));

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            // Queries, keys and values in whole and in parts, and the latents in front of and behind their norms.
            long plain = (long)Shape.Heads * PlainSize, rotated = Rope is null ? 0 : (long)Shape.Heads * RotatedSize;
            long queries = KeyWidth + (2L * (QueryLatent?.OutFeatures ?? 0)) + (Rope is null ? 0 : plain + (2 * rotated) + KeyWidth) + (QueryFactor is null ? 0 : KeyWidth);
            long keys = (3L * Latent.OutFeatures) + KeyValue.OutFeatures + plain + ValueWidth + KeyWidth;
            return new TapeNumbers(
                queries + keys + ValueWidth + Shape.Heads + Output.OutFeatures,
                (QueryLatent?.InFeatures ?? 0) + (long)Query.InFeatures + KeyValue.InFeatures + Output.InFeatures);
        }
    }

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new KeyValueLane(device, KeyWidth, ValueWidth, positions);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        Variable q = QueryLatent is null ? Query.Apply(tape, x) : Query.Apply(tape, QueryNorm!.Apply(tape, QueryLatent.Apply(tape, x)));
        q = RotateHeads(tape, q, pass);
        if (QueryFactor is not null) q = tape.ScaleRows(q, pass.PositionFactors(tape, QueryFactor));
        (Variable k, Variable v) = KeysAndValues(tape, x, pass);
        return Output.Apply(tape, pass.Attend(tape, Shape, q, k, v, default));
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers)
    {
        readers.Add(QueryLatent ?? Query);
        readers.Add(Latent);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Output);
        if (QueryLatent is not null) folds.Within(QueryNorm!, Query);
        folds.Within(LatentNorm, KeyValue);
        int size = Shape.ValueHeadSize;
        folds.Values(KeyValue, Output, size, 1, new RowPattern(PlainSize, ValueWidth, size, PlainSize + size));
    }

    private (Variable Keys, Variable Values) KeysAndValues(Tape tape, Variable x, ForwardPass pass)
    {
        int rows = x.Value.Rows, latent = Latent.OutFeatures - RotatedSize;
        Variable compressed = Latent.Apply(tape, x), shared = tape.Columns(compressed, latent, RotatedSize);
        Variable expanded = KeyValue.Apply(tape, LatentNorm.Apply(tape, tape.Columns(compressed, 0, latent)));
        Variable heads = tape.View(expanded, checked(rows * Shape.Heads), PlainSize + Shape.ValueHeadSize), plain = tape.Columns(heads, 0, PlainSize);
        Variable v = tape.View(tape.Columns(heads, PlainSize, Shape.ValueHeadSize), rows, ValueWidth);
        if (_values is not null) v = _values.Apply(tape, v);
        // In front of the rotation the heads' keys are whole too, since a quantizer sees heads or rows.
        if (_keys is { BeforeRotation: true }) return (RotateHeads(tape, _keys.Apply(tape, Joined(shared), beforeRotation: true), pass), v);
        Variable k = Joined(Rotated(tape, shared, 1, pass));
        return (_keys is null ? k : _keys.Apply(tape, k), v);

        Variable Joined(Variable last) => tape.View(tape.JoinColumns(plain, last), rows, KeyWidth);
    }

    // The last elements of every head, x [rows, heads * headSize].
    private Variable RotateHeads(Tape tape, Variable x, ForwardPass pass)
    {
        if (Rope is null) return x;
        int rows = x.Value.Rows;
        Variable heads = tape.View(x, checked(rows * Shape.Heads), Shape.HeadSize);
        Variable rotated = Rotated(tape, tape.Columns(heads, PlainSize, RotatedSize), Shape.Heads, pass);
        return tape.View(tape.JoinColumns(tape.Columns(heads, 0, PlainSize), rotated), rows, KeyWidth);
    }

    // Whole vectors of r elements, count of them for every row of the pass.
    private Variable Rotated(Tape tape, Variable x, int count, ForwardPass pass)
    {
        if (Rope is null) return x;
        int vectors = x.Value.Rows;
        Variable y = pass.Rotate(tape, tape.View(x, vectors / count, count * RotatedSize), Rope.For(pass.TableLength), RotatedSize);
        return tape.View(y, vectors, RotatedSize);
    }
}
