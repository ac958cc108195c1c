using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Models.Generation;

/// <summary>Rotated keys and values of one block for all positions so far, and the block's forward pass that uses them.</summary>
internal sealed class KeyValueCache : IDisposable
{
    private readonly DecoderBlock _block;
    private readonly int _capacity;
    private readonly Tensor _keys;
    private readonly Tensor _values;

    public KeyValueCache(Device device, DecoderBlock block, int batch, int capacity)
    {
        _block = block;
        _capacity = capacity;
        int width = block.Attention.KeyValueHeads * block.Attention.HeadSize;
        _keys = device.Empty(checked(batch * capacity), width);
        _values = device.Empty(batch * capacity, width);
    }

    /// <summary>The block's output for new rows that stand at positions <paramref name="position"/> and on.</summary>
    /// <param name="tape">Not recording.</param>
    /// <param name="x">[shape.Rows, hidden].</param>
    /// <param name="shape">New positions of every sequence.</param>
    /// <param name="position">Positions already in the cache.</param>
    public Variable Forward(Tape tape, Variable x, SequenceShape shape, int position)
    {
        Variable h = tape.Add(x, Attend(tape, _block.AttentionNorm.Apply(tape, x), shape, position));
        return tape.Add(h, _block.Mlp.Apply(tape, _block.MlpNorm.Apply(tape, h)));
    }

    public void Dispose()
    {
        _keys.Dispose();
        _values.Dispose();
    }

    private Variable Attend(Tape tape, Variable x, SequenceShape shape, int position)
    {
        Attention attention = _block.Attention;
        IKernels kernels = tape.Device.Kernels;
        Variable q = attention.Query.Apply(tape, x), k = attention.Key.Apply(tape, x), v = attention.Value.Apply(tape, x);
        if (attention.QueryNorm is not null) q = attention.QueryNorm.Apply(tape, q);
        if (attention.KeyNorm is not null) k = attention.KeyNorm.Apply(tape, k);
        if (attention.Rope is not null)
        {
            RotaryAngles angles = attention.Rope.For(_capacity);
            q = tape.Rotate(q, angles, attention.HeadSize, shape.Length, position);
            k = tape.Rotate(k, angles, attention.HeadSize, shape.Length, position);
        }
        int keys = position + shape.Length;
        Tensor y = tape.Rent(q.Value.Shape), logSumExp = tape.Rent(shape.Length, attention.Heads);
        var sizes = new AttentionShape(
            1, shape.Length, keys, attention.Heads, attention.KeyValueHeads, attention.HeadSize, attention.Scale, attention.Window);
        for (int b = 0; b < shape.Batch; b++)
        {
            int rows = b * shape.Length, cached = b * _capacity;
            kernels.Copy(k.Value.RowRange(rows, shape.Length), _keys.RowRange(cached + position, shape.Length));
            kernels.Copy(v.Value.RowRange(rows, shape.Length), _values.RowRange(cached + position, shape.Length));
            kernels.AttentionForward(
                sizes, q.Value.RowRange(rows, shape.Length), _keys.RowRange(cached, keys), _values.RowRange(cached, keys),
                y.RowRange(rows, shape.Length), logSumExp);
        }
        return attention.Output.Apply(tape, new Variable(y));
    }
}
