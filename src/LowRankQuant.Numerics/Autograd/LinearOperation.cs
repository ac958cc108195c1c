namespace LowRankQuant.Numerics.Autograd;

/// <summary>y = x W^T + b.</summary>
public static class LinearOperation
{
    /// <summary>Applies a linear layer to every row.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[rows, inFeatures].</param>
    /// <param name="weight">[outFeatures, inFeatures], or [inFeatures, outFeatures] when <paramref name="transposedWeight"/>.</param>
    /// <param name="bias">[outFeatures], or null.</param>
    /// <param name="transposedWeight">The weight is stored input by input, as GPT-2 does.</param>
    /// <returns>[rows, outFeatures].</returns>
    public static Variable Linear(this Tape tape, Variable x, Variable weight, Variable? bias = null, bool transposedWeight = false)
    {
        int inFeatures = transposedWeight ? weight.Value.Shape[0] : weight.Value.Columns;
        int outFeatures = transposedWeight ? weight.Value.Columns : weight.Value.Shape[0];
        if (x.Value.Columns != inFeatures) throw new ArgumentException($"Input {x.Value} for a weight of {inFeatures} inputs.", nameof(x));
        Tensor y = tape.Rent(x.Value.Rows, outFeatures);
        tape.Kernels.MatMul(x.Value, false, weight.Value, !transposedWeight, y, accumulate: false);
        if (bias is not null) tape.Kernels.AddRow(y, bias.Value);
        Variable output = tape.Output(y, x.RequiresGradient || weight.RequiresGradient || bias is { RequiresGradient: true });
        tape.Record(output, () =>
        {
            Tensor dy = output.Gradient!;
            if (weight.RequiresGradient)
            {
                Tensor dw = weight.GradientTarget(tape, out bool accumulate);
                if (transposedWeight) tape.Kernels.MatMul(x.Value, true, dy, false, dw, accumulate);
                else tape.Kernels.MatMul(dy, true, x.Value, false, dw, accumulate);
            }
            if (bias is { RequiresGradient: true }) tape.Kernels.ColumnSums(dy, bias.GradientTarget(tape, out bool accumulateBias), accumulateBias);
            if (x.RequiresGradient) tape.Kernels.MatMul(dy, false, weight.Value, transposedWeight, x.GradientTarget(tape, out bool accumulateX), accumulateX);
        });
        return output;
    }
}
