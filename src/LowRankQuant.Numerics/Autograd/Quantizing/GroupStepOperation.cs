namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>Steps of groups that are fixed multiples of one scale per block.</summary>
public static class GroupStepOperation
{
    /// <summary>log step_g = log scale_b + log multiple_g, b the block of group g. Gradient: dlog scale_b = sum over the block's groups of dlog step_g.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="logScale">log scale, [rows, blocks].</param>
    /// <param name="logMultiple">log multiple, [rows, groups]; groups is a multiple of blocks.</param>
    /// <returns>log step, [rows, groups].</returns>
    public static Variable GroupSteps(this Tape tape, Variable logScale, Tensor logMultiple)
    {
        int blocks = checked((int)logScale.Value.Count), perBlock = checked((int)(logMultiple.Count / Math.Max(1, blocks)));
        if (blocks * (long)perBlock != logMultiple.Count) throw new ArgumentException($"Multiples {logMultiple} for scales {logScale.Value}.", nameof(logMultiple));
        // Repeating a column is a product with a row of ones, and its gradient the product with a column of ones.
        Tensor ones = tape.Rent(1, perBlock), steps = tape.Rent(logMultiple.Shape);
        tape.Kernels.Fill(ones, 1);
        tape.Kernels.Copy(logMultiple, steps);
        tape.Kernels.MatMul(logScale.Value.View(blocks, 1), false, ones, false, steps.View(blocks, perBlock), accumulate: true);
        Variable output = tape.Output(steps, logScale.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor target = logScale.GradientTarget(tape, out bool accumulate).View(blocks, 1);
            tape.Kernels.MatMul(output.Gradient!.View(blocks, perBlock), false, ones, true, target, accumulate);
        });
        return output;
    }
}
