using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Numerics.Autograd.Sequences;

/// <summary>The gated delta rule and its log decay. The backward pass recomputes every chunk from the state before it.</summary>
public static class DeltaRuleOperation
{
    /// <summary>The output of every value head; see <see cref="DeltaRuleShape"/>.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="shape">Sizes.</param>
    /// <param name="q">[batch * length, keyHeads * keySize].</param>
    /// <param name="k">[batch * length, keyHeads * keySize].</param>
    /// <param name="v">[batch * length, valueHeads * valueSize].</param>
    /// <param name="logDecay">[batch * length, valueHeads], or [batch * length, valueHeads * keySize] with a decay per channel.</param>
    /// <param name="beta">[batch * length, valueHeads].</param>
    /// <param name="start">State before the first row, [batch * valueHeads * keySize, valueSize], a constant; null for zeros.</param>
    /// <param name="end">Where the state after the last row goes, perhaps the start; null where it is not wanted.</param>
    /// <returns>[batch * length, valueHeads * valueSize].</returns>
    public static Variable DeltaRule(
        this Tape tape, DeltaRuleShape shape, Variable q, Variable k, Variable v, Variable logDecay, Variable beta, Tensor? start = null, Tensor? end = null)
    {
        Variable[] inputs = [q, k, v, logDecay, beta];
        Variable output = tape.Output(tape.Rent(shape.Rows, shape.ValueHeads * shape.ValueSize), inputs.Any(input => input.RequiresGradient));
        Tensor? states = output.RequiresGradient ? tape.Rent(shape.KeptRows, shape.ValueSize) : null;
        var terms = new DeltaRuleTerms(q.Value, k.Value, v.Value, logDecay.Value, beta.Value);
        tape.Kernels.DeltaRuleForward(shape, terms, start, output.Value, end, states);
        tape.Record(output, () =>
        {
            GradientSink[] sinks = [.. inputs.Select(input => GradientSink.For(tape, input))];
            var gradients = new DeltaRuleTerms(sinks[0].Target, sinks[1].Target, sinks[2].Target, sinks[3].Target, sinks[4].Target);
            tape.Kernels.DeltaRuleBackward(shape, terms, states!, output.Gradient!, gradients);
            foreach (GradientSink sink in sinks) sink.Finish();
        });
        return output;
    }

    /// <summary>g[r, j] = negativeA[j] ln(1 + e^(a[r, j] + dtBias[j])), the constants expanded to the columns of a.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="a">[rows, n].</param>
    /// <param name="negativeA">[n], below zero: -e^A_log.</param>
    /// <param name="dtBias">[n].</param>
    /// <returns>[rows, n].</returns>
    public static Variable LogDecay(this Tape tape, Variable a, Tensor negativeA, Tensor dtBias) =>
        tape.ScaleColumns(tape.StepSizes(a, dtBias, 0, float.PositiveInfinity), negativeA);
}
