namespace LowRankQuant.Numerics.Autograd.Products;

/// <summary>y = W + B A: a weight with a low-rank branch.</summary>
public static class LowRankOperation
{
    /// <summary>Adds the product of two thin matrices. dW = dy, dB = dy A^T, dA = B^T dy.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="weight">W, [outFeatures, inFeatures].</param>
    /// <param name="left">B, [outFeatures, rank].</param>
    /// <param name="right">A, [rank, inFeatures].</param>
    /// <returns>[outFeatures, inFeatures].</returns>
    public static Variable AddLowRank(this Tape tape, Variable weight, Variable left, Variable right)
    {
        Tensor y = tape.Rent(weight.Value.Shape);
        tape.Kernels.Copy(weight.Value, y);
        tape.Kernels.MatMul(left.Value, false, right.Value, false, y, accumulate: true);
        Variable output = tape.Output(y, weight.RequiresGradient || left.RequiresGradient || right.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor dy = output.Gradient!;
            if (left.RequiresGradient) tape.AddProduct(Precision.Single, dy, false, right.Value, true, left.GradientTarget(tape, out bool more), more);
            if (right.RequiresGradient) tape.AddProduct(Precision.Single, left.Value, true, dy, false, right.GradientTarget(tape, out bool more), more);
            if (!weight.RequiresGradient || weight.TakeGradient(output)) return;
            Tensor dw = weight.GradientTarget(tape, out bool accumulate);
            if (accumulate) tape.Kernels.AddScaled(dy, 1, dw);
            else tape.Kernels.Copy(dy, dw);
        });
        return output;
    }
}
