namespace LowRankQuant.Numerics.Autograd.Sequences;

/// <summary>Mamba-2's recurrence; the backward pass recomputes states from those at the starts of chunks.</summary>
public static class StateSpaceOperation
{
    /// <summary>S_t = exp(dt A) S_(t-1) + dt x_t B_t^T, y_t = S_t C_t + D x_t for every head, see <see cref="StateSpaceShape"/>.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="shape">Sizes.</param>
    /// <param name="x">[batch * length, heads * headSize].</param>
    /// <param name="b">[batch * length, groups * stateSize].</param>
    /// <param name="c">[batch * length, groups * stateSize].</param>
    /// <param name="stepSizes">dt, [batch * length, heads], above zero; see <see cref="StepSizesOperation"/>.</param>
    /// <param name="a">[heads], negative; a constant.</param>
    /// <param name="d">[heads]; a constant.</param>
    /// <param name="start">[batch * heads * headSize, stateSize]: the states before the first token, constants; null for zeros.</param>
    /// <param name="end">Shaped as start: gets the states behind the last token, without a gradient; or null. May be start itself.</param>
    /// <returns>[batch * length, heads * headSize].</returns>
    public static Variable StateSpace(
        this Tape tape, StateSpaceShape shape, Variable x, Variable b, Variable c, Variable stepSizes, Tensor a, Tensor d,
        Tensor? start = null, Tensor? end = null)
    {
        var inputs = new ScanInputs(x.Value, b.Value, c.Value, stepSizes.Value, a, d);
        Tensor y = tape.Rent(x.Value.Rows, shape.Heads * shape.HeadSize);
        Variable output = tape.Output(y, x.RequiresGradient || b.RequiresGradient || c.RequiresGradient || stepSizes.RequiresGradient);
        Tensor? kept = output.RequiresGradient ? tape.Rent(shape.Batch * shape.Heads * shape.Chunks, shape.StateSize, shape.HeadSize) : null;
        tape.Kernels.StateSpaceForward(shape, inputs, start, y, end, kept);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, x), db = GradientSink.For(tape, b), dc = GradientSink.For(tape, c);
            GradientSink dStepSizes = GradientSink.For(tape, stepSizes);
            tape.Kernels.StateSpaceBackward(
                shape, inputs, kept!, output.Gradient!, new ScanGradients(dx.Target, db.Target, dc.Target, dStepSizes.Target));
            dx.Finish();
            db.Finish();
            dc.Finish();
            dStepSizes.Finish();
        });
        return output;
    }
}
