using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Sequences;

namespace LowRankQuant.Models.Decoder.Passes;

/// <summary>A recurrence over the rows of sequences.</summary>
/// <param name="inputs">[rows, n] each.</param>
/// <param name="shape">The sequences.</param>
/// <param name="front">The tensors of the state in front of the rows; null for zeros.</param>
/// <param name="behind">Receive the state behind them, and may be those in front; null where nobody asks.</param>
/// <returns>What comes out, [rows, ...].</returns>
internal delegate Variable Recurrence(IReadOnlyList<Variable> inputs, SequenceShape shape, Tensor[]? front, Tensor[]? behind);

/// <summary>
/// What the rows of a forward pass are, and what a block gets beside them: whole windows that begin at position 0, or rows of sequences that continue what
/// their lanes hold. All rows pass through linear layers together; only mixing is by sequence.
/// </summary>
public sealed class ForwardPass
{
    private readonly IReadOnlyList<LaneWork>? _lanes;
    private readonly SequenceShape _shape;

    private ForwardPass(SequenceShape shape, IReadOnlyList<LaneWork>? lanes)
    {
        _shape = shape;
        _lanes = lanes;
    }

    /// <summary>The block's own input for every row, [rows, n], made by the model's embedding; null where the family has none.</summary>
    public Tensor? PerLayer { get; init; }

    /// <summary>Keys and values that blocks read from earlier ones; null where no block does.</summary>
    public PublishedValues? Published { get; init; }

    /// <summary>Whole windows.</summary>
    public static ForwardPass OfWindows(SequenceShape shape) => new(shape, null);

    /// <summary>Rows that continue lanes.</summary>
    /// <param name="lanes">Every row once.</param>
    public static ForwardPass OfLanes(IReadOnlyList<LaneWork> lanes) => new(default, lanes);

    /// <summary>The same rows with the inputs of a block.</summary>
    public ForwardPass With(Tensor? perLayer, PublishedValues? published) => new(_shape, _lanes) { PerLayer = perLayer, Published = published };

    /// <summary>The lanes' states; null for windows.</summary>
    internal IReadOnlyList<LaneWork>? Lanes => _lanes;

    /// <summary>Positions that tables of angles and biases must reach.</summary>
    internal int TableLength => _lanes?.Max(work => ((KeyValueLane)work.Lane).Keys.Rows) ?? _shape.Length;

    /// <summary>The tape's windows, see <see cref="Tape.Windows"/>; null where there is but one.</summary>
    internal int[]? WindowRows => _lanes is null && _shape.Batch > 1 ? [.. Enumerable.Range(0, _shape.Batch + 1).Select(i => i * _shape.Length)] : null;

    /// <summary>One factor per row, or per position where rows repeat them, made from positions; for <see cref="CurveOperation.ScaleRows"/>.</summary>
    internal Variable PositionFactors(Tape tape, Func<int, float> factor)
    {
        float[] factors;
        if (_lanes is null) factors = [.. Enumerable.Range(0, _shape.Length).Select(factor)];
        else
        {
            factors = new float[_lanes.Sum(work => work.Rows.Sum(rows => rows.Length))];
            foreach (LaneRows rows in _lanes.SelectMany(work => work.Rows))
            {
                for (int i = 0; i < rows.Length; i++) factors[rows.Row + i] = factor(rows.Position + i);
            }
        }
        Tensor tensor = tape.Rent(factors.Length);
        tensor.CopyFrom(factors);
        return new Variable(tensor);
    }

    /// <summary>Every head of every row rotated by the angles of its position.</summary>
    internal Variable Rotate(Tape tape, Variable x, RotaryAngles angles, int headSize)
    {
        if (_lanes is null) return tape.Rotate(x, angles, headSize, _shape.Length);
        Tensor y = tape.Rent(x.Value.Shape);
        tape.Device.HostWorkers.Run(_lanes.Count, number =>
        {
            foreach (LaneRows rows in _lanes[number].Rows)
            {
                tape.Device.Kernels.Rotate(
                    x.Value.RowRange(rows.Row, rows.Length), angles.Cosine, angles.Sine, headSize, angles.Interleaved, rows.Length, rows.Position, inverse: false,
                    y.RowRange(rows.Row, rows.Length));
            }
        });
        return new Variable(y);
    }

    /// <summary>Attention of every row over the keys of its sequence, its own included.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="shape">Heads and options; sequences are filled in.</param>
    /// <param name="q">[rows, heads * headSize].</param>
    /// <param name="k">[rows, keyValueHeads * headSize]; with lanes it joins what they hold.</param>
    /// <param name="v">[rows, keyValueHeads * valueHeadSize].</param>
    /// <param name="terms">Biases and sinks.</param>
    internal Variable Attend(Tape tape, AttentionShape shape, Variable q, Variable k, Variable v, AttentionTerms terms)
    {
        if (_lanes is null) return tape.CausalAttention(Windows(shape), q, k, v, terms);
        Tensor y = tape.Rent(q.Value.Rows, shape.Heads * shape.ValueHeadSize), logSumExp = tape.Rent(q.Value.Rows, shape.Heads);
        // Lanes share out the threads.
        tape.Device.HostWorkers.Run(_lanes.Count, number =>
        {
            IKernels kernels = tape.Device.Kernels;
            var lane = (KeyValueLane)_lanes[number].Lane;
            foreach (LaneRows rows in _lanes[number].Rows)
            {
                int keys = rows.Position + rows.Length;
                kernels.Copy(k.Value.RowRange(rows.Row, rows.Length), lane.Keys.RowRange(rows.Position, rows.Length));
                kernels.Copy(v.Value.RowRange(rows.Row, rows.Length), lane.Values.RowRange(rows.Position, rows.Length));
                kernels.AttentionForward(
                    shape with { Batch = 1, QueryLength = rows.Length, KeyLength = keys }, terms, q.Value.RowRange(rows.Row, rows.Length),
                    lane.Keys.RowRange(0, keys), lane.Values.RowRange(0, keys), y.RowRange(rows.Row, rows.Length), logSumExp.RowRange(rows.Row, rows.Length));
            }
        });
        return new Variable(y);
    }

    /// <summary>The same rows for one of several mixers of a block.</summary>
    /// <param name="part">Its number in the block's <see cref="JointState"/>.</param>
    internal ForwardPass Part(int part) => _lanes is null ? this
        : new ForwardPass(_shape, [.. _lanes.Select(work => new LaneWork(((JointState)work.Lane).Parts[part], work.Rows))]) { PerLayer = PerLayer, Published = Published };

    /// <summary>Rows through a recurrence: whole windows from its start, or rows of sequences from where their <see cref="RecurrentState"/> is.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="inputs">[rows, n] each.</param>
    /// <param name="columns">Columns of what comes out.</param>
    /// <param name="recurrence">Computes it.</param>
    /// <returns>[rows, columns].</returns>
    internal Variable Recur(Tape tape, IReadOnlyList<Variable> inputs, int columns, Recurrence recurrence)
    {
        if (_lanes is null) return recurrence(inputs, _shape, null, null);
        Tensor y = tape.Rent(inputs[0].Value.Rows, columns);
        foreach (LaneWork work in _lanes)
        {
            ((RecurrentState)work.Lane).Pass(work.Rows, (row, count, front, behind) =>
            {
                Variable[] own = [.. inputs.Select(input => new Variable(input.Value.RowRange(row, count)))];
                tape.Device.Kernels.Copy(recurrence(own, new SequenceShape(1, count), front, behind).Value, y.RowRange(row, count));
            });
        }
        return new Variable(y);
    }

    /// <summary>Keeps keys and values for later blocks, when somebody reads them.</summary>
    internal (Variable Keys, Variable Values) Publish(Tape tape, int block, Variable keys, Variable values) =>
        Published is null ? (keys, values) : Published.Publish(tape, block, keys, values);

    /// <summary>What an earlier block published.</summary>
    internal (Variable Keys, Variable Values) ReadPublished(int block) =>
        (Published ?? throw new InvalidOperationException($"The block reads keys and values of block {block}, and the pass keeps none.")).Get(block);

    private AttentionShape Windows(AttentionShape shape) => shape with { Batch = _shape.Batch, QueryLength = _shape.Length, KeyLength = _shape.Length };
}
