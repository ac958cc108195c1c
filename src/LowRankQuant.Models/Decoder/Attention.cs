using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Models.Decoder;

/// <summary>Rotary grouped-query self-attention with its four projections.</summary>
public sealed class Attention : IDisposable
{
    /// <summary>Query projection, [heads * headSize, hidden].</summary>
    public required LinearSlot Query { get; init; }

    /// <summary>Key projection, [keyValueHeads * headSize, hidden].</summary>
    public required LinearSlot Key { get; init; }

    /// <summary>Value projection, as the key's.</summary>
    public required LinearSlot Value { get; init; }

    /// <summary>Output projection, [hidden, heads * headSize].</summary>
    public required LinearSlot Output { get; init; }

    /// <summary>Normalises every query head before rotation, or null.</summary>
    public INorm? QueryNorm { get; init; }

    /// <summary>Normalises every key head before rotation, or null.</summary>
    public INorm? KeyNorm { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Elements of one head.</summary>
    public required int HeadSize { get; init; }

    /// <summary>Multiplies q k.</summary>
    public required float Scale { get; init; }

    /// <summary>Keys visible to a query, itself included; 0 for all.</summary>
    public int Window { get; init; }

    /// <summary>Angle tables, or null for no rotation.</summary>
    public required RopeTables? Rope { get; init; }

    /// <summary>Attention over every sequence of <paramref name="x"/> [shape.Rows, hidden].</summary>
    public Variable Apply(Tape tape, Variable x, SequenceShape shape) => Output.Apply(tape, Mix(tape, x, shape));

    /// <summary>The values of all heads mixed by attention, [shape.Rows, heads x head size]: what the output projection sees.</summary>
    public Variable Mix(Tape tape, Variable x, SequenceShape shape)
    {
        Variable q = Query.Apply(tape, x), k = Key.Apply(tape, x), v = Value.Apply(tape, x);
        if (QueryNorm is not null) q = QueryNorm.Apply(tape, q);
        if (KeyNorm is not null) k = KeyNorm.Apply(tape, k);
        if (Rope is not null)
        {
            RotaryAngles angles = Rope.For(shape.Length);
            q = tape.Rotate(q, angles, HeadSize, shape.Length);
            k = tape.Rotate(k, angles, HeadSize, shape.Length);
        }
        var attention = new AttentionShape(shape.Batch, shape.Length, shape.Length, Heads, KeyValueHeads, HeadSize, Scale, Window);
        return tape.CausalAttention(attention, q, k, v);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Query.Dispose();
        Key.Dispose();
        Value.Dispose();
        Output.Dispose();
        QueryNorm?.Dispose();
        KeyNorm?.Dispose();
    }
}
