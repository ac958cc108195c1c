namespace LowRankQuant.Numerics.Kernels;

/// <summary>The gated delta rule, the causal convolution before it and its log decay.</summary>
internal abstract partial class CheckedKernels
{
    public void ConvolveForward(Tensor x, int length, Tensor weight, Tensor? bias, Tensor? tail, Tensor y)
    {
        Taps(x, length, weight);
        Count(bias, x.Columns);
        Count(tail, (long)(x.Rows / length) * (weight.Columns - 1) * x.Columns);
        Same(y, x);
        inner.ConvolveForward(x, length, weight, bias, tail, y);
    }

    public void ConvolveBackward(Tensor dy, int length, Tensor weight, Tensor dx)
    {
        Taps(dy, length, weight);
        Same(dx, dy);
        inner.ConvolveBackward(dy, length, weight, dx);
    }

    public void DeltaRuleForward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor? start, Tensor y, Tensor? end, Tensor? states)
    {
        DeltaRule(shape, terms);
        Count(start, (long)shape.StateRows * shape.ValueSize);
        Count(y, (long)shape.Rows * shape.ValueHeads * shape.ValueSize);
        Count(end, (long)shape.StateRows * shape.ValueSize);
        Count(states, (long)shape.KeptRows * shape.ValueSize);
        inner.DeltaRuleForward(shape, terms, start, y, end, states);
    }

    public void DeltaRuleBackward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor states, Tensor dy, in DeltaRuleTerms gradients)
    {
        DeltaRule(shape, terms);
        Count(states, (long)shape.KeptRows * shape.ValueSize);
        Count(dy, (long)shape.Rows * shape.ValueHeads * shape.ValueSize);
        DeltaRule(shape, gradients);
        inner.DeltaRuleBackward(shape, terms, states, dy, gradients);
    }

    private static void Taps(Tensor x, int length, Tensor weight)
    {
        if (length <= 0 || x.Rows % length != 0) throw Fault(x, $"has to have rows in sequences of {length}", nameof(x));
        if (weight.Columns == 0 || weight.Rows != x.Columns) throw Fault(weight, $"has to be [{x.Columns}, taps]", nameof(weight));
    }

    private static void DeltaRule(in DeltaRuleShape shape, in DeltaRuleTerms terms)
    {
        bool sane = shape.Batch > 0 && shape.Length > 0 && shape.KeyHeads > 0 && shape.ValueHeads > 0 && shape.ValueHeads % shape.KeyHeads == 0
            && shape.KeySize > 0 && shape.ValueSize > 0;
        if (!sane) throw new ArgumentException($"Impossible sizes: {shape}.", nameof(shape));
        long rows = shape.Rows;
        Count(terms.Q, rows * shape.KeyHeads * shape.KeySize, nameof(terms.Q));
        Count(terms.K, rows * shape.KeyHeads * shape.KeySize, nameof(terms.K));
        Count(terms.V, rows * shape.ValueHeads * shape.ValueSize, nameof(terms.V));
        Count(terms.LogDecay, rows * shape.DecayColumns, nameof(terms.LogDecay));
        Count(terms.Beta, rows * shape.ValueHeads, nameof(terms.Beta));
    }
}
