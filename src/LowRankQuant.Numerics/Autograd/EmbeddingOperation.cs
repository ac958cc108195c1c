namespace LowRankQuant.Numerics.Autograd;

/// <summary>y[i] = table[ids[i]].</summary>
public static class EmbeddingOperation
{
    /// <summary>Looks up one row per id.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="table">[vocabulary, n].</param>
    /// <param name="ids">Row numbers, each below the vocabulary.</param>
    /// <returns>[ids, n].</returns>
    public static Variable Embedding(this Tape tape, Variable table, ReadOnlyMemory<int> ids)
    {
        Tensor y = tape.Rent(ids.Length, table.Value.Columns);
        tape.Kernels.EmbeddingForward(table.Value, ids.Span, y);
        Variable output = tape.Output(y, table.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor gradient = table.GradientTarget(tape, out bool accumulate);
            if (!accumulate) tape.Kernels.Fill(gradient, 0);
            tape.Kernels.EmbeddingBackward(output.Gradient!, ids.Span, gradient);
        });
        return output;
    }
}
