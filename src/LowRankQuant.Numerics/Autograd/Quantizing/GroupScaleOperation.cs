namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>Dequantization whose scales are learned while its codes stay.</summary>
public static class GroupScaleOperation
{
    /// <summary>y = units * scale of the group. Gradient: dscale = sum over the group of dy * units.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="units">Codes less their zero points, [outFeatures, inFeatures]; constant.</param>
    /// <param name="scale">[outFeatures, groups], or one element.</param>
    /// <returns>The weight, [outFeatures, inFeatures].</returns>
    public static Variable GroupScale(this Tape tape, Tensor units, Variable scale)
    {
        Tensor y = tape.Rent(units.Shape);
        tape.Kernels.GroupScaleForward(units, scale.Value, y);
        Variable output = tape.Output(y, scale.RequiresGradient);
        tape.Record(output, () => tape.Kernels.GroupScaleBackward(output.Gradient!, units, scale.GradientTarget(tape, out bool accumulate), accumulate));
        return output;
    }
}
