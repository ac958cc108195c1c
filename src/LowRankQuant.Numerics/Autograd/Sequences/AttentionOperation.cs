namespace LowRankQuant.Numerics.Autograd.Sequences;

/// <summary>Causal grouped-query attention; the backward pass recomputes the scores instead of storing them.</summary>
public static class AttentionOperation
{
    /// <summary>softmax(scale q k^T, causal) v for every head.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="shape">Sizes and options.</param>
    /// <param name="q">[batch * queryLength, heads * headSize].</param>
    /// <param name="k">[batch * keyLength, keyValueHeads * headSize].</param>
    /// <param name="v">[batch * keyLength, keyValueHeads * valueHeadSize].</param>
    /// <param name="terms">Biases of keys and sinks, which are constants; the default has none.</param>
    /// <returns>[batch * queryLength, heads * valueHeadSize].</returns>
    public static Variable CausalAttention(this Tape tape, AttentionShape shape, Variable q, Variable k, Variable v, AttentionTerms terms = default)
    {
        Tensor y = tape.Rent(q.Value.Rows, shape.Heads * shape.ValueHeadSize), logSumExp = tape.Rent(q.Value.Rows, shape.Heads);
        tape.Kernels.AttentionForward(shape, terms, q.Value, k.Value, v.Value, y, logSumExp);
        Variable output = tape.Output(y, q.RequiresGradient || k.RequiresGradient || v.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dq = GradientSink.For(tape, q), dk = GradientSink.For(tape, k), dv = GradientSink.For(tape, v);
            tape.Kernels.AttentionBackward(shape, terms, output.Gradient!, q.Value, k.Value, v.Value, y, logSumExp, dq.Target, dk.Target, dv.Target);
            dq.Finish();
            dk.Finish();
            dv.Finish();
        });
        return output;
    }
}
