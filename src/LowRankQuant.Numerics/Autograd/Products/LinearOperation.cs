namespace LowRankQuant.Numerics.Autograd.Products;

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
        tape.Kernels.Multiply(tape.Precision, x.Value, false, weight.Value, !transposedWeight, y, accumulate: false);
        if (bias is not null) tape.Kernels.AddRow(y, bias.Value);
        Variable output = tape.Output(y, x.RequiresGradient || weight.RequiresGradient || bias is { RequiresGradient: true });
        int[] windows = tape.Windows ?? [0, x.Value.Rows];
        tape.Record(output, () =>
        {
            Tensor dy = output.Gradient!;
            if (weight.RequiresGradient) AddWeightGradient(tape, windows, x.Value, dy, weight, transposedWeight);
            if (bias is { RequiresGradient: true }) tape.Kernels.ColumnSums(dy, bias.GradientTarget(tape, out bool accumulateBias), accumulateBias);
            if (x.RequiresGradient) tape.Kernels.Multiply(tape.Precision, dy, false, weight.Value, transposedWeight, x.GradientTarget(tape, out bool accumulateX), accumulateX);
        });
        return output;
    }

    // dW = sum over windows of dY^T X, in their order.
    private static void AddWeightGradient(Tape tape, int[] windows, Tensor x, Tensor dy, Variable weight, bool transposedWeight)
    {
        if (windows[^1] != x.Rows) throw new InvalidOperationException($"The tape's windows end at row {windows[^1]} of {x.Rows}.");
        Tensor dw = weight.GradientTarget(tape, out bool accumulate);
        for (int window = 1; window < windows.Length; window++)
        {
            int first = windows[window - 1], rows = windows[window] - first;
            if (rows == 0)
            {
                // An expert to which no token of a window came.
                if (!accumulate) tape.Kernels.Fill(dw, 0);
                accumulate = true;
                continue;
            }
            Tensor inputs = x.RowRange(first, rows), slopes = dy.RowRange(first, rows);
            if (transposedWeight) tape.AddProduct(tape.Precision, inputs, true, slopes, false, dw, accumulate);
            else tape.AddProduct(tape.Precision, slopes, true, inputs, false, dw, accumulate);
            accumulate = true;
        }
    }
}
