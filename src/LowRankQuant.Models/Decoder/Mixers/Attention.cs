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
/// Grouped-query self-attention with its projections. In order: projections, norms of heads or rows, clamp, rotation (norms after it where asked for), factors
/// of positions, causal attention with window, chunks, soft cap, biases of keys and sinks, output projection. Keys and values are quantized where they are made,
/// keys in front of the rotation or behind all.
/// </summary>
internal sealed record Attention : IMixer
{
    /// <summary>Query projection, [heads * headSize, hidden]; twice as many rows where <see cref="QueryHasGate"/>.</summary>
    public required LinearSlot Query { get; init; }

    /// <summary>Whether behind the rows of a head's query there are as many of a gate, whose sigmoids multiply what the head gives.</summary>
    public bool QueryHasGate { get; init; }

    /// <summary>A gate for every head, [heads, hidden], whose sigmoid multiplies what the head gives; null for none.</summary>
    public LinearSlot? HeadGate { get; init; }

    /// <summary>Multiplies keys in front of their norm and rotation.</summary>
    public float KeyFactor { get; init; } = 1;

    /// <summary>Key projection, [keyValueHeads * headSize, hidden]; null where keys are read from an earlier block.</summary>
    public LinearSlot? Key { get; init; }

    /// <summary>Value projection, [keyValueHeads * valueHeadSize, hidden]; null where values are the raw keys or read from an earlier block.</summary>
    public LinearSlot? Value { get; init; }

    /// <summary>Output projection, [hidden, heads * valueHeadSize].</summary>
    public required LinearSlot Output { get; init; }

    /// <summary>Heads, sizes, scale, window, chunk and cap; sequences do not matter here.</summary>
    public required AttentionShape Shape { get; init; }

    /// <summary>Normalises queries, by heads or by rows; null for none.</summary>
    public INorm? QueryNorm { get; init; }

    /// <summary>Normalises keys; null for none.</summary>
    public INorm? KeyNorm { get; init; }

    /// <summary>Normalises values; null for none.</summary>
    public INorm? ValueNorm { get; init; }

    /// <summary>Whether the norms of queries and keys come after the rotation.</summary>
    public bool NormsAfterRotation { get; init; }

    /// <summary>Holds queries, keys and values within this, behind their norms; null for no limit.</summary>
    public float? Clip { get; init; }

    /// <summary>Multiplies values.</summary>
    public float ValueFactor { get; init; } = 1;

    /// <summary>Angle tables, or null for no rotation.</summary>
    public RopeTables? Rope { get; init; }

    /// <summary>Multiplies the query at a position; null for ones.</summary>
    public Func<int, float>? QueryFactor { get; init; }

    /// <summary>Biases of keys by head and position (ALiBi); null for none.</summary>
    public KeyBiasTable? KeyBias { get; init; }

    /// <summary>A logit per head that takes part in the softmax and has no value, [heads]; null for none.</summary>
    public Tensor? Sinks { get; init; }

    /// <summary>The block whose keys and values are used; null for its own.</summary>
    public int? Reads { get; init; }

    /// <summary>The number under which later blocks read keys and values; null where none does.</summary>
    public int? Publishes { get; init; }

    // Made when the block is put together: a copy with other sizes has sites of its own.
    private CacheSite? _keys, _values;

    /// <inheritdoc/>
    public IReadOnlyList<CacheSite> Caches => Key is null
        ? []
        : [_keys ??= new CacheSite(CacheKind.Keys, Shape.KeyValueHeads, Shape.HeadSize), _values ??= new CacheSite(CacheKind.Values, Shape.KeyValueHeads, Shape.ValueHeadSize)];

    private int KeyWidth => Shape.KeyValueHeads * Shape.HeadSize;

    private int ValueWidth => Shape.KeyValueHeads * Shape.ValueHeadSize;

    /// <inheritdoc/>
    public StateSize StateSize => new(0, sizeof(float) * ((long)KeyWidth + ValueWidth));

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            long q = (long)Shape.Heads * Shape.HeadSize, k = Key?.OutFeatures ?? 0, v = Value?.OutFeatures ?? 0, y = (long)Shape.Heads * Shape.ValueHeadSize;
            long clip = Clip is null ? 0 : 1, queries = NumbersOf(QueryNorm) + clip + (Rope is null ? 0 : 1) + (QueryFactor is null ? 0 : 1);
            long keys = NumbersOf(KeyNorm) + clip + (Rope is null ? 0 : 1) + (KeyFactor == 1 ? 0 : 1), values = NumbersOf(ValueNorm) + clip + (ValueFactor == 1 ? 0 : 1);
            long gates = (QueryHasGate ? (2 * q) + y : 0) + (HeadGate is null ? 0 : (2 * Shape.Heads) + y);
            return new TapeNumbers(
                Query.OutFeatures + (queries * q) + ((1 + keys) * k) + ((1 + values) * v) + y + Shape.Heads + gates + Output.OutFeatures, Query.InFeatures + (long)Output.InFeatures);
        }
    }

    // A norm, and where heads have weights of their own these for every row, and what they give.
    private static long NumbersOf(INorm? norm) => norm is null ? 0 : norm is WeightedHeadsNorm ? 3 : 1;

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new KeyValueLane(device, KeyWidth, ValueWidth, positions);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        (Variable q, Variable? gate) = Queries(tape, x);
        q = Placed(tape, q, QueryNorm, pass);
        if (QueryFactor is not null) q = tape.ScaleRows(q, pass.PositionFactors(tape, QueryFactor));
        (Variable k, Variable v) = Reads is { } block ? pass.ReadPublished(block) : KeysAndValues(tape, x, pass);
        if (Publishes is { } number) (k, v) = pass.Publish(tape, number, k, v);
        var terms = new AttentionTerms(KeyBias?.For(pass.TableLength), Sinks);
        return Output.Apply(tape, Gated(tape, x, gate, pass.Attend(tape, Shape, q, k, v, terms)));
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers)
    {
        readers.Add(Query);
        readers.Add(Key);
        readers.Add(Value);
        readers.Add(HeadGate);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Output);
        string? obstacle = Reads is { } block ? $"its values are read from block {block}"
            : Value is null ? "its values are the keys before they are rotated"
            : ValueNorm is not null ? "a norm of the values comes in between"
            : Clip is { } limit ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"values are held within {limit} in between")
            : Publishes is not null ? "later blocks read the values as well"
            : null;
        if (obstacle is null) folds.Values(Value!, Output, Shape.ValueHeadSize, Shape.Heads / Shape.KeyValueHeads);
        else folds.Refuse(Output, FoldKind.Values, obstacle);
    }

    private (Variable Queries, Variable? Gate) Queries(Tape tape, Variable x)
    {
        Variable all = Query.Apply(tape, x);
        if (!QueryHasGate) return (all, null);
        int rows = x.Value.Rows, size = Shape.HeadSize;
        Variable heads = tape.View(all, checked(rows * Shape.Heads), 2 * size);
        return (tape.View(tape.Columns(heads, 0, size), rows, Shape.Heads * size), tape.View(tape.Columns(heads, size, size), rows, Shape.Heads * size));
    }

    private Variable Gated(Tape tape, Variable x, Variable? gate, Variable y)
    {
        if (gate is not null) y = tape.GatedActivation(Activation.Sigmoid, gate, y);
        if (HeadGate is null) return y;
        int rows = x.Value.Rows, heads = checked(rows * Shape.Heads);
        Variable factors = tape.Activate(Activation.Sigmoid, HeadGate.Apply(tape, x));
        return tape.View(tape.ScaleRows(tape.View(y, heads, Shape.ValueHeadSize), tape.View(factors, heads, 1)), rows, Shape.Heads * Shape.ValueHeadSize);
    }

    private (Variable Keys, Variable Values) KeysAndValues(Tape tape, Variable x, ForwardPass pass)
    {
        Variable raw = Key!.Apply(tape, x), v = Value is null ? raw : Value.Apply(tape, x);
        if (ValueNorm is not null) v = ValueNorm.Apply(tape, v);
        if (Clip is { } limit) v = tape.Bend(Curve.Clamp(limit), v);
        if (ValueFactor != 1) v = tape.Scale(v, ValueFactor);
        if (_values is not null) v = _values.Apply(tape, v);
        Variable k = Placed(tape, KeyFactor == 1 ? raw : tape.Scale(raw, KeyFactor), KeyNorm, pass, _keys);
        return (_keys is null ? k : _keys.Apply(tape, k), v);
    }

    private Variable Placed(Tape tape, Variable x, INorm? norm, ForwardPass pass, CacheSite? cache = null)
    {
        if (norm is not null && !NormsAfterRotation) x = norm.Apply(tape, x);
        if (Clip is { } limit) x = tape.Bend(Curve.Clamp(limit), x);
        if (cache is not null) x = cache.Apply(tape, x, beforeRotation: true);
        if (Rope is not null) x = pass.Rotate(tape, x, Rope.For(pass.TableLength), Shape.HeadSize);
        return norm is not null && NormsAfterRotation ? norm.Apply(tape, x) : x;
    }
}
