namespace LowRankQuant.Numerics.Autograd;

/// <summary>y = x / sqrt(mean(x^2) + epsilon) * (weight + offset).</summary>
public static class RmsNormOperation
{
    /// <summary>Normalises every row of <paramref name="weight"/>'s length; a wider row holds several, such as the heads of a projection.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[rows, m * n].</param>
    /// <param name="weight">[n].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="weightOffset">0, or 1 where files store weight - 1 (Gemma).</param>
    /// <returns>Shaped as x.</returns>
    public static Variable RmsNorm(this Tape tape, Variable x, Variable weight, float epsilon, float weightOffset = 0)
    {
        int n = checked((int)weight.Value.Count), rows = checked((int)(x.Value.Count / n));
        Tensor flat = x.Value.View(rows, n);
        Tensor y = tape.Rent(x.Value.Shape), inverseRms = tape.Rent(rows);
        tape.Kernels.RmsNormForward(flat, weight.Value, epsilon, weightOffset, y.View(rows, n), inverseRms);
        Variable output = tape.Output(y, x.RequiresGradient || weight.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor? dWeight = null;
            if (weight.RequiresGradient)
            {
                dWeight = weight.GradientTarget(tape, out bool accumulateWeight);
                if (!accumulateWeight) tape.Kernels.Fill(dWeight, 0);
            }
            bool accumulate = false;
            Tensor dx = x.RequiresGradient ? x.GradientTarget(tape, out accumulate) : tape.Rent(rows, n);
            tape.Kernels.RmsNormBackward(
                output.Gradient!.View(rows, n), flat, weight.Value, weightOffset, inverseRms, dx.View(rows, n), accumulate, dWeight);
        });
        return output;
    }
}
