namespace LowRankQuant.Numerics.Autograd.Pointwise;

/// <summary>Sums and multiples of tensors.</summary>
public static class SumOperation
{
    /// <summary>a + b, element by element.</summary>
    public static Variable Add(this Tape tape, Variable a, Variable b)
    {
        Tensor y = tape.Rent(a.Value.Shape);
        tape.Kernels.Add(a.Value, b.Value, y);
        Variable output = tape.Output(y, a.RequiresGradient || b.RequiresGradient);
        tape.Record(output, () =>
        {
            Pass(tape, a, output.Gradient!, 1);
            // The output's gradient is not read again, so the last to get it may have the memory itself.
            if (!b.TakeGradient(output)) Pass(tape, b, output.Gradient!, 1);
        });
        return output;
    }

    /// <summary>factor * x.</summary>
    public static Variable Scale(this Tape tape, Variable x, float factor)
    {
        Tensor y = tape.Rent(x.Value.Shape);
        tape.Kernels.Scale(x.Value, factor, y);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () => Pass(tape, x, output.Gradient!, factor));
        return output;
    }

    private static void Pass(Tape tape, Variable variable, Tensor gradient, float factor)
    {
        if (!variable.RequiresGradient) return;
        Tensor target = variable.GradientTarget(tape, out bool accumulate);
        if (accumulate) tape.Kernels.AddScaled(gradient, factor, target);
        else if (factor == 1) tape.Kernels.Copy(gradient, target);
        else tape.Kernels.Scale(gradient, factor, target);
    }
}
