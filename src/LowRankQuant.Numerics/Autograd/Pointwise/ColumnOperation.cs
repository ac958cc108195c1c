namespace LowRankQuant.Numerics.Autograd.Pointwise;

/// <summary>Columns taken out of a matrix, and matrices put side by side.</summary>
public static class ColumnOperation
{
    /// <summary>x[:, start..start + width].</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[rows, n].</param>
    /// <param name="start">The first column.</param>
    /// <param name="width">How many.</param>
    /// <returns>[rows, width].</returns>
    public static Variable Columns(this Tape tape, Variable x, int start, int width)
    {
        Tensor y = tape.Rent(x.Value.Rows, width);
        tape.Kernels.CopyColumns(x.Value, start, 1, y, 0, width);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () => Add(tape, output.Gradient!, 0, 1, x, start, width));
        return output;
    }

    /// <summary>Matrices side by side; one of fewer rows has each of them several times, as a key that all heads share.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="parts">[rows, n] each, or [rows / k, n], whose row r becomes the rows r k to r k + k - 1.</param>
    /// <returns>[rows, sum of n].</returns>
    public static Variable JoinColumns(this Tape tape, params Variable[] parts)
    {
        int rows = parts.Max(part => part.Value.Rows);
        Tensor y = tape.Rent(rows, parts.Sum(part => part.Value.Columns));
        int place = 0;
        foreach (Variable part in parts)
        {
            tape.Kernels.CopyColumns(part.Value, 0, rows / Math.Max(1, part.Value.Rows), y, place, part.Value.Columns);
            place += part.Value.Columns;
        }
        Variable output = tape.Output(y, parts.Any(part => part.RequiresGradient));
        tape.Record(output, () =>
        {
            int at = 0;
            foreach (Variable part in parts)
            {
                int width = part.Value.Columns;
                if (part.RequiresGradient) Add(tape, output.Gradient!, at, rows / part.Value.Rows, part, 0, width);
                at += width;
            }
        });
        return output;
    }

    private static void Add(Tape tape, Tensor dy, int place, int repeat, Variable x, int start, int width)
    {
        Tensor target = x.GradientTarget(tape, out bool accumulate);
        if (!accumulate) tape.Kernels.Fill(target, 0);
        tape.Kernels.AddColumns(dy, place, repeat, target, start, width);
    }
}
