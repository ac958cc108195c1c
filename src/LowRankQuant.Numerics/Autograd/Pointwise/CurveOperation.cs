namespace LowRankQuant.Numerics.Autograd.Pointwise;

/// <summary>Functions with constants, the gate of gpt-oss, products by elements and by rows, views, and rows picked out and put back.</summary>
public static class CurveOperation
{
    /// <summary>curve(x), element by element.</summary>
    public static Variable Bend(this Tape tape, Curve curve, Variable x)
    {
        Tensor y = tape.Rent(x.Value.Shape);
        tape.Kernels.CurveForward(curve, x.Value, y);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, x);
            tape.Kernels.CurveBackward(curve, output.Gradient!, x.Value, dx.Target);
            dx.Finish();
        });
        return output;
    }

    /// <summary>The gate of gpt-oss, see <see cref="ClampedGate"/>.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="constants">Alpha and limit.</param>
    /// <param name="gate">[rows, n].</param>
    /// <param name="up">[rows, n].</param>
    /// <returns>[rows, n].</returns>
    public static Variable ClampedGate(this Tape tape, ClampedGate constants, Variable gate, Variable up)
    {
        Tensor y = tape.Rent(gate.Value.Shape);
        tape.Kernels.ClampedGateForward(constants, gate.Value, up.Value, y);
        Variable output = tape.Output(y, gate.RequiresGradient || up.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dGate = GradientSink.For(tape, gate), dUp = GradientSink.For(tape, up);
            tape.Kernels.ClampedGateBackward(constants, output.Gradient!, gate.Value, up.Value, dGate.Target, dUp.Target);
            dGate.Finish();
            dUp.Finish();
        });
        return output;
    }

    /// <summary>factors[r mod count] x[r, :]: row weights where there is one per row, position weights where they repeat with every sequence.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[rows, n].</param>
    /// <param name="factors">[count], which divides the rows; only one factor per row can have a gradient.</param>
    /// <exception cref="ArgumentException">Repeated factors ask for a gradient.</exception>
    public static Variable ScaleRows(this Tape tape, Variable x, Variable factors)
    {
        if (factors.RequiresGradient && factors.Value.Count != x.Value.Rows)
            throw new ArgumentException($"{factors.Value.Count} factors for {x.Value.Rows} rows; with a gradient there is one per row.", nameof(factors));
        Tensor y = tape.Rent(x.Value.Shape);
        tape.Kernels.ScaleRows(x.Value, factors.Value, y);
        Variable output = tape.Output(y, x.RequiresGradient || factors.RequiresGradient);
        tape.Record(output, () =>
        {
            if (factors.RequiresGradient)
            {
                GradientSink dFactors = GradientSink.For(tape, factors);
                tape.Kernels.RowDots(output.Gradient!, x.Value, dFactors.Target);
                dFactors.Finish();
            }
            if (!x.RequiresGradient) return;
            GradientSink dx = GradientSink.For(tape, x);
            tape.Kernels.ScaleRows(output.Gradient!, factors.Value, dx.Target);
            dx.Finish();
        });
        return output;
    }

    /// <summary>x[r, j] * factors[j], the factors constants.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[rows, n].</param>
    /// <param name="factors">[n].</param>
    public static Variable ScaleColumns(this Tape tape, Variable x, Tensor factors)
    {
        Tensor repeated = tape.Rent(x.Value.Shape), y = tape.Rent(x.Value.Shape);
        tape.Kernels.EmbeddingForward(factors.View(1, x.Value.Columns), new int[x.Value.Rows], repeated);
        tape.Kernels.Multiply(x.Value, repeated, y);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, x);
            tape.Kernels.Multiply(output.Gradient!, repeated, dx.Target);
            dx.Finish();
        });
        return output;
    }

    /// <summary>The same elements in another shape, such as heads as rows; shares memory, and so does its gradient where nothing else has one yet.</summary>
    public static Variable View(this Tape tape, Variable x, params ReadOnlySpan<int> shape)
    {
        Variable output = tape.Output(x.Value.View(shape), x.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor target = x.GradientTarget(tape, out bool accumulate);
            if (accumulate) tape.Kernels.Add(target, output.Gradient!, target);
            else tape.Kernels.Copy(output.Gradient!, target);
        });
        return output;
    }

    /// <summary>x[rows[i], :].</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[n, columns].</param>
    /// <param name="rows">Numbers of rows; they may repeat.</param>
    /// <returns>[rows.Length, columns].</returns>
    public static Variable PickRows(this Tape tape, Variable x, int[] rows)
    {
        Tensor y = tape.Rent(rows.Length, x.Value.Columns);
        tape.Kernels.EmbeddingForward(x.Value, rows, y);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor target = x.GradientTarget(tape, out bool accumulate);
            if (!accumulate) tape.Kernels.Fill(target, 0);
            tape.Kernels.EmbeddingBackward(output.Gradient!, rows, target);
        });
        return output;
    }

    /// <summary>Parts put back into rows: y[rows[i], :] += x[i, :] for every part, in their order and the order of i.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="count">Rows of the sum.</param>
    /// <param name="columns">Columns of the sum and of every part.</param>
    /// <param name="parts">Parts [rows.Length, columns], and numbers of rows of the sum.</param>
    /// <returns>[count, columns].</returns>
    public static Variable SumRows(this Tape tape, int count, int columns, IReadOnlyList<(Variable X, int[] Rows)> parts)
    {
        Tensor y = tape.Rent(count, columns);
        tape.Kernels.Fill(y, 0);
        foreach ((Variable x, int[] rows) in parts) tape.Kernels.EmbeddingBackward(x.Value, rows, y);
        Variable output = tape.Output(y, parts.Any(part => part.X.RequiresGradient));
        tape.Record(output, () =>
        {
            foreach ((Variable x, int[] rows) in parts)
            {
                if (!x.RequiresGradient) continue;
                GradientSink dx = GradientSink.For(tape, x);
                tape.Kernels.EmbeddingForward(output.Gradient!, rows, dx.Target);
                dx.Finish();
            }
        });
        return output;
    }
}
