namespace LowRankQuant.Numerics.Autograd;

/// <summary>y = (x - mean) / sqrt(variance + epsilon) * weight + bias.</summary>
public static class LayerNormOperation
{
    /// <summary>Normalises every row.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[rows, n].</param>
    /// <param name="weight">[n].</param>
    /// <param name="bias">[n], or null.</param>
    /// <param name="epsilon">Added to the variance (over n).</param>
    /// <returns>[rows, n].</returns>
    public static Variable LayerNorm(this Tape tape, Variable x, Variable weight, Variable? bias, float epsilon)
    {
        int rows = x.Value.Rows;
        Tensor y = tape.Rent(x.Value.Shape), mean = tape.Rent(rows), inverseDeviation = tape.Rent(rows);
        tape.Kernels.LayerNormForward(x.Value, weight.Value, bias?.Value, epsilon, y, mean, inverseDeviation);
        Variable output = tape.Output(y, x.RequiresGradient || weight.RequiresGradient || bias is { RequiresGradient: true });
        tape.Record(output, () =>
        {
            bool accumulate = false;
            Tensor dx = x.RequiresGradient ? x.GradientTarget(tape, out accumulate) : tape.Rent(x.Value.Shape);
            tape.Kernels.LayerNormBackward(
                output.Gradient!, x.Value, weight.Value, mean, inverseDeviation, dx, accumulate, Cleared(tape, weight), Cleared(tape, bias));
        });
        return output;
    }

    private static Tensor? Cleared(Tape tape, Variable? parameter)
    {
        if (parameter is not { RequiresGradient: true }) return null;
        Tensor gradient = parameter.GradientTarget(tape, out bool accumulate);
        if (!accumulate) tape.Kernels.Fill(gradient, 0);
        return gradient;
    }
}
