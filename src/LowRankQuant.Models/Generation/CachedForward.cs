using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Models.Generation;

/// <summary>
/// A block's forward pass over rows of many sequences of any lengths, each of which continues what its lane holds. All rows pass through the linear
/// layers together; only attention is by sequence, and lanes share out the threads.
/// </summary>
public static class CachedForward
{
    /// <summary>The block's output for <paramref name="x"/>; keys and values of its rows are in the lanes then.</summary>
    /// <param name="block">The block.</param>
    /// <param name="tape">Not recording.</param>
    /// <param name="x">[rows, hidden].</param>
    /// <param name="work">Every row once.</param>
    public static Variable Run(DecoderBlock block, Tape tape, Variable x, IReadOnlyList<LaneWork> work)
    {
        Variable h = tape.Add(x, Attend(block.Attention, tape, block.AttentionNorm.Apply(tape, x), work));
        return tape.Add(h, block.Mlp.Apply(tape, block.MlpNorm.Apply(tape, h)));
    }

    private static Variable Attend(Attention attention, Tape tape, Variable x, IReadOnlyList<LaneWork> work)
    {
        Variable q = attention.Query.Apply(tape, x), k = attention.Key.Apply(tape, x), v = attention.Value.Apply(tape, x);
        if (attention.QueryNorm is not null) q = attention.QueryNorm.Apply(tape, q);
        if (attention.KeyNorm is not null) k = attention.KeyNorm.Apply(tape, k);
        Tensor y = tape.Rent(q.Value.Shape), logSumExp = tape.Rent(x.Value.Rows, attention.Heads);
        RotaryAngles? angles = attention.Rope?.For(work.Max(lane => lane.Lane.Keys.Rows));
        tape.Device.HostWorkers.Run(work.Count, number =>
        {
            IKernels kernels = tape.Device.Kernels;
            (KeyValueLane lane, IReadOnlyList<LaneRows> all) = work[number];
            foreach (LaneRows rows in all)
            {
                int keys = rows.Position + rows.Length;
                Tensor query = q.Value.RowRange(rows.Row, rows.Length), key = k.Value.RowRange(rows.Row, rows.Length);
                Tensor cached = lane.Keys.RowRange(rows.Position, rows.Length);
                if (angles is null) kernels.Copy(key, cached);
                else
                {
                    Rotate(query, query);
                    Rotate(key, cached);
                }
                kernels.Copy(v.Value.RowRange(rows.Row, rows.Length), lane.Values.RowRange(rows.Position, rows.Length));
                var sizes = new AttentionShape(
                    1, rows.Length, keys, attention.Heads, attention.KeyValueHeads, attention.HeadSize, attention.Scale, attention.Window);
                kernels.AttentionForward(
                    sizes, default, query, lane.Keys.RowRange(0, keys), lane.Values.RowRange(0, keys),
                    y.RowRange(rows.Row, rows.Length), logSumExp.RowRange(rows.Row, rows.Length));

                void Rotate(Tensor from, Tensor to) => kernels.Rotate(
                    from, angles.Cosine, angles.Sine, attention.HeadSize, angles.Interleaved, rows.Length, rows.Position, inverse: false, to);
            }
        });
        return attention.Output.Apply(tape, new Variable(y));
    }
}
