namespace LowRankQuant.Numerics.Autograd.Sequences;

/// <summary>Mamba-1's selective scan; the backward pass recomputes states from those at the starts of chunks.</summary>
public static class SelectiveScanOperation
{
    /// <summary>S_c = exp(dt_c A_c) S_c + dt_c x_c B, y_c = S_c . C + D_c x_c for every channel, see <see cref="SelectiveScanShape"/>.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="shape">Sizes.</param>
    /// <param name="x">[batch * length, channels].</param>
    /// <param name="b">[batch * length, stateSize].</param>
    /// <param name="c">[batch * length, stateSize].</param>
    /// <param name="stepSizes">dt, [batch * length, channels], above zero; see <see cref="StepSizesOperation"/>.</param>
    /// <param name="a">[channels, stateSize], negative; a constant.</param>
    /// <param name="d">[channels]; a constant.</param>
    /// <param name="start">[batch * channels, stateSize]: the states before the first token, constants; null for zeros.</param>
    /// <param name="end">Shaped as start: gets the states behind the last token, without a gradient; or null. May be start itself.</param>
    /// <returns>[batch * length, channels].</returns>
    public static Variable SelectiveScan(
        this Tape tape, SelectiveScanShape shape, Variable x, Variable b, Variable c, Variable stepSizes, Tensor a, Tensor d,
        Tensor? start = null, Tensor? end = null)
    {
        var inputs = new ScanInputs(x.Value, b.Value, c.Value, stepSizes.Value, a, d);
        Tensor y = tape.Rent(x.Value.Rows, shape.Channels);
        Variable output = tape.Output(y, x.RequiresGradient || b.RequiresGradient || c.RequiresGradient || stepSizes.RequiresGradient);
        Tensor? kept = output.RequiresGradient ? tape.Rent(shape.Batch * shape.Chunks, shape.StateSize, shape.Channels) : null;
        tape.Kernels.SelectiveScanForward(shape, inputs, start, y, end, kept);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, x), db = GradientSink.For(tape, b), dc = GradientSink.For(tape, c);
            GradientSink dStepSizes = GradientSink.For(tape, stepSizes);
            tape.Kernels.SelectiveScanBackward(
                shape, inputs, kept!, output.Gradient!, new ScanGradients(dx.Target, db.Target, dc.Target, dStepSizes.Target));
            dx.Finish();
            db.Finish();
            dc.Finish();
            dStepSizes.Finish();
        });
        return output;
    }
}
