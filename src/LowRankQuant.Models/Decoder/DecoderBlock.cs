using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>One Transformer block, sequential and pre-norm: x += attention(norm x); x += mlp(norm x). Serves evaluation, calibration and training.</summary>
public sealed class DecoderBlock : IDisposable
{
    /// <summary>Number of the block, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Name of the block in a checkpoint, such as <c>model.layers.3</c>.</summary>
    public required string Name { get; init; }

    /// <summary>In front of the attention.</summary>
    public required INorm AttentionNorm { get; init; }

    /// <summary>Self-attention.</summary>
    public required Attention Attention { get; init; }

    /// <summary>In front of the MLP.</summary>
    public required INorm MlpNorm { get; init; }

    /// <summary>The MLP.</summary>
    public required GatedMlp Mlp { get; init; }

    /// <summary>The quantizable linear layers, in the order q, k, v, o, gate, up, down.</summary>
    public IReadOnlyList<LinearSlot> Slots =>
        [Attention.Query, Attention.Key, Attention.Value, Attention.Output, Mlp.Gate, Mlp.Up, Mlp.Down];

    /// <summary>Numbers of the slots that share one input, in the order in which a forward pass computes them.</summary>
    public static IReadOnlyList<IReadOnlyList<int>> InputStages { get; } = [[0, 1, 2], [3], [4, 5], [6]];

    /// <summary>The block's output for <paramref name="x"/> [shape.Rows, hidden].</summary>
    public Variable Forward(Tape tape, Variable x, SequenceShape shape)
    {
        Variable h = tape.Add(x, Attention.Apply(tape, AttentionNorm.Apply(tape, x), shape));
        return tape.Add(h, Mlp.Apply(tape, MlpNorm.Apply(tape, h)));
    }

    /// <summary>What the slots of a stage see when the block is applied to <paramref name="x"/>: the forward pass no farther than to them.</summary>
    /// <param name="stage">Number in <see cref="InputStages"/>.</param>
    /// <param name="tape">The tape.</param>
    /// <param name="x">[shape.Rows, hidden].</param>
    /// <param name="shape">Sequences.</param>
    /// <returns>[shape.Rows, inputs of the stage].</returns>
    public Variable StageInput(int stage, Tape tape, Variable x, SequenceShape shape)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(stage, InputStages.Count);
        Variable attended = AttentionNorm.Apply(tape, x);
        if (stage == 0) return attended;
        Variable mixed = Attention.Mix(tape, attended, shape);
        if (stage == 1) return mixed;
        Variable h = MlpNorm.Apply(tape, tape.Add(x, Attention.Output.Apply(tape, mixed)));
        return stage == 2 ? h : Mlp.Activate(tape, h);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        AttentionNorm.Dispose();
        Attention.Dispose();
        MlpNorm.Dispose();
        Mlp.Dispose();
    }
}
