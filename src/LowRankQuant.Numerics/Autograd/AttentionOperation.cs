using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Numerics.Autograd;

/// <summary>Causal grouped-query attention; the backward pass recomputes the scores instead of storing them.</summary>
public static class AttentionOperation
{
    /// <summary>softmax(scale q k^T, causal) v for every head.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="shape">Sizes and options.</param>
    /// <param name="q">[batch * queryLength, heads * headSize].</param>
    /// <param name="k">[batch * keyLength, keyValueHeads * headSize].</param>
    /// <param name="v">As k.</param>
    /// <returns>As q.</returns>
    public static Variable CausalAttention(this Tape tape, AttentionShape shape, Variable q, Variable k, Variable v)
    {
        Tensor y = tape.Rent(q.Value.Shape), logSumExp = tape.Rent(q.Value.Rows, shape.Heads);
        tape.Kernels.AttentionForward(shape, q.Value, k.Value, v.Value, y, logSumExp);
        Variable output = tape.Output(y, q.RequiresGradient || k.RequiresGradient || v.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dq = GradientSink.For(tape, q), dk = GradientSink.For(tape, k), dv = GradientSink.For(tape, v);
            tape.Kernels.AttentionBackward(shape, output.Gradient!, q.Value, k.Value, v.Value, y, logSumExp, dq.Target, dk.Target, dv.Target);
            dq.Finish();
            dk.Finish();
            dv.Finish();
        });
        return output;
    }
}
