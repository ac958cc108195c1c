namespace LowRankQuant.Numerics.Autograd.Sequences;

/// <summary>Step sizes of recurrences with a state.</summary>
public static class StepSizesOperation
{
    /// <summary>clamp(log(1 + e^(dt + bias)), low, high), with gradient 0 where it is clamped.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="dt">[rows, n].</param>
    /// <param name="bias">[n]; a constant.</param>
    /// <param name="low">The least step.</param>
    /// <param name="high">The largest step; may be infinite.</param>
    /// <returns>[rows, n].</returns>
    public static Variable StepSizes(this Tape tape, Variable dt, Tensor bias, float low, float high)
    {
        Tensor y = tape.Rent(dt.Value.Shape);
        tape.Kernels.StepSizesForward(dt.Value, bias, low, high, y);
        Variable output = tape.Output(y, dt.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, dt);
            tape.Kernels.StepSizesBackward(output.Gradient!, dt.Value, bias, low, high, dx.Target);
            dx.Finish();
        });
        return output;
    }
}
