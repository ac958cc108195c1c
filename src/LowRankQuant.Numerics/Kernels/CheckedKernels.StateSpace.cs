namespace LowRankQuant.Numerics.Kernels;

/// <summary>Recurrences with a state, and their step sizes.</summary>
internal abstract partial class CheckedKernels
{
    public void StateSpaceForward(in StateSpaceShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates)
    {
        StateSpace(shape, inputs);
        Same(y, inputs.X);
        long states = (long)shape.Batch * shape.Heads * shape.HeadSize * shape.StateSize;
        Count(start, states);
        Count(end, states);
        Count(chunkStates, shape.KeptElements);
        inner.StateSpaceForward(shape, inputs, start, y, end, chunkStates);
    }

    public void StateSpaceBackward(in StateSpaceShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients)
    {
        StateSpace(shape, inputs);
        Count(chunkStates, shape.KeptElements);
        Gradients(inputs, dy, gradients);
        inner.StateSpaceBackward(shape, inputs, chunkStates, dy, gradients);
    }

    public void SelectiveScanForward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates)
    {
        SelectiveScan(shape, inputs);
        Same(y, inputs.X);
        long states = (long)shape.Batch * shape.Channels * shape.StateSize;
        Count(start, states);
        Count(end, states);
        Count(chunkStates, shape.KeptElements);
        inner.SelectiveScanForward(shape, inputs, start, y, end, chunkStates);
    }

    public void SelectiveScanBackward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients)
    {
        SelectiveScan(shape, inputs);
        Count(chunkStates, shape.KeptElements);
        Gradients(inputs, dy, gradients);
        inner.SelectiveScanBackward(shape, inputs, chunkStates, dy, gradients);
    }

    public void StepSizesForward(Tensor x, Tensor bias, float low, float high, Tensor y)
    {
        StepSizes(x, bias, low, high);
        Same(y, x);
        inner.StepSizesForward(x, bias, low, high, y);
    }

    public void StepSizesBackward(Tensor dy, Tensor x, Tensor bias, float low, float high, Tensor dx)
    {
        StepSizes(x, bias, low, high);
        Same(dy, x);
        Same(dx, x);
        inner.StepSizesBackward(dy, x, bias, low, high, dx);
    }

    private static void StateSpace(in StateSpaceShape shape, in ScanInputs inputs)
    {
        bool sane = shape.Batch > 0 && shape.Length > 0 && shape.Groups > 0 && shape.Heads > 0 && shape.Heads % shape.Groups == 0
            && shape.HeadSize > 0 && shape.StateSize > 0;
        if (!sane) throw new ArgumentException($"Impossible sizes: {shape}.", nameof(shape));
        long rows = (long)shape.Batch * shape.Length;
        (Tensor x, Tensor b, Tensor c, Tensor stepSizes, Tensor a, Tensor d) = inputs;
        Count(x, rows * shape.Heads * shape.HeadSize);
        Count(b, rows * shape.Groups * shape.StateSize);
        Same(c, b);
        Count(stepSizes, rows * shape.Heads);
        Count(a, shape.Heads);
        Count(d, shape.Heads);
    }

    private static void SelectiveScan(in SelectiveScanShape shape, in ScanInputs inputs)
    {
        bool sane = shape.Batch > 0 && shape.Length > 0 && shape.Channels > 0 && shape.StateSize > 0;
        if (!sane) throw new ArgumentException($"Impossible sizes: {shape}.", nameof(shape));
        long rows = (long)shape.Batch * shape.Length;
        (Tensor x, Tensor b, Tensor c, Tensor stepSizes, Tensor a, Tensor d) = inputs;
        Count(x, rows * shape.Channels);
        Count(b, rows * shape.StateSize);
        Same(c, b);
        Same(stepSizes, x);
        Count(a, (long)shape.Channels * shape.StateSize);
        Count(d, shape.Channels);
    }

    private static void Gradients(in ScanInputs inputs, Tensor dy, in ScanGradients gradients)
    {
        Same(dy, inputs.X);
        (Tensor dx, Tensor db, Tensor dc, Tensor dStepSizes) = gradients;
        Same(dx, inputs.X);
        Same(db, inputs.B);
        Same(dc, inputs.C);
        Same(dStepSizes, inputs.StepSizes);
    }

    private static void StepSizes(Tensor x, Tensor bias, float low, float high)
    {
        Count(bias, x.Columns);
        if (!(low <= high)) throw new ArgumentException($"Step sizes cannot lie in {low}..{high}.", nameof(low));
    }
}
