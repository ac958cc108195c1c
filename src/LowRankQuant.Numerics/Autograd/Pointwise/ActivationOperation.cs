namespace LowRankQuant.Numerics.Autograd.Pointwise;

/// <summary>Pointwise non-linearities, plain and gated.</summary>
public static class ActivationOperation
{
    /// <summary>activation(x).</summary>
    public static Variable Activate(this Tape tape, Activation activation, Variable x)
    {
        Tensor y = tape.Rent(x.Value.Shape);
        tape.Kernels.ActivationForward(activation, x.Value, y);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, x);
            tape.Kernels.ActivationBackward(activation, output.Gradient!, x.Value, dx.Target);
            dx.Finish();
        });
        return output;
    }

    /// <summary>activation(gate) * up: SwiGLU with <see cref="Activation.Silu"/>, GeGLU with a GELU.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="activation">Applied to the gate.</param>
    /// <param name="gate">[rows, n].</param>
    /// <param name="up">[rows, n].</param>
    /// <returns>[rows, n].</returns>
    public static Variable GatedActivation(this Tape tape, Activation activation, Variable gate, Variable up)
    {
        Tensor y = tape.Rent(gate.Value.Shape);
        tape.Kernels.GatedActivationForward(activation, gate.Value, up.Value, y);
        Variable output = tape.Output(y, gate.RequiresGradient || up.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dGate = GradientSink.For(tape, gate), dUp = GradientSink.For(tape, up);
            tape.Kernels.GatedActivationBackward(activation, output.Gradient!, gate.Value, up.Value, dGate.Target, dUp.Target);
            dGate.Finish();
            dUp.Finish();
        });
        return output;
    }
}
