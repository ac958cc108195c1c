namespace LowRankQuant.Numerics.Autograd.Sequences;

/// <summary>Causal convolution of every column by itself, with constant weights.</summary>
public static class ConvolutionOperation
{
    /// <summary>y[t, c] = bias[c] + sum over j of weight[c, j] x[t - taps + 1 + j, c]; the last tap meets the current row.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[sequences * length, n].</param>
    /// <param name="length">Rows of one sequence.</param>
    /// <param name="weight">[n, taps].</param>
    /// <param name="bias">[n], or null.</param>
    /// <param name="tail">[sequences * (taps - 1), n]: the rows before the first one of every sequence, which get no gradient; or null for zeros.</param>
    /// <returns>[sequences * length, n].</returns>
    public static Variable CausalConvolution(this Tape tape, Variable x, int length, Tensor weight, Tensor? bias = null, Tensor? tail = null)
    {
        Tensor y = tape.Rent(x.Value.Shape);
        tape.Kernels.ConvolveForward(x.Value, length, weight, bias, tail, y);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, x);
            tape.Kernels.ConvolveBackward(output.Gradient!, length, weight, dx.Target);
            dx.Finish();
        });
        return output;
    }
}
