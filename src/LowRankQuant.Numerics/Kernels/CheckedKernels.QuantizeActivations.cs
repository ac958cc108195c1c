namespace LowRankQuant.Numerics.Kernels;

/// <summary>Quantizers of activations.</summary>
internal abstract partial class CheckedKernels
{
    public void QuantizeActivations(in ActivationQuantizerArguments arguments, Tensor y)
    {
        Units(arguments);
        Same(y, arguments.X);
        inner.QuantizeActivations(arguments, y);
    }

    public void ActivationCodes(in ActivationQuantizerArguments arguments, Span<sbyte> codes)
    {
        Units(arguments);
        Tensor x = arguments.X;
        if (arguments.Grid.Floats is { } floats) throw new ArgumentException($"{floats} codes are no integers.", nameof(arguments));
        if (codes.Length != x.Count) throw Fault(x, $"has to have the {codes.Length} elements of the codes");
        inner.ActivationCodes(arguments, codes);
    }

    public void QuantizeActivationsBackward(in ActivationQuantizerArguments arguments, in ActivationQuantizerGradients gradients)
    {
        Units(arguments);
        Tensor x = arguments.X;
        Tensor? dx = gradients.Input, dStep = gradients.Step, dZeroPoint = gradients.ZeroPoint;
        long units = arguments.Grid.IsDynamic ? arguments.Step.Count : arguments.Step.Count * x.Rows;
        Same(gradients.Upstream, x);
        Same(dx, x);
        Count(dStep, units);
        Count(dZeroPoint, units);
        if (gradients.ThroughRange && (dx is null || !arguments.Grid.IsDynamic))
            throw new ArgumentException("Only the input of a dynamic grid has a gradient through its range.", nameof(gradients));
        inner.QuantizeActivationsBackward(arguments, gradients);
    }

    private static void Units(in ActivationQuantizerArguments arguments)
    {
        Tensor x = arguments.X, step = arguments.Step;
        long rows = arguments.Grid.IsDynamic ? x.Rows : 1, units = rows == 0 ? 0 : step.Count / rows;
        bool divides = x.Rows == 0 || (units > 0 && step.Count % rows == 0 && x.Columns % units == 0 && (arguments.Grid.IsPerPart || units == 1));
        if (!divides)
        {
            string heads = arguments.Grid.IsPerPart ? $"a number of parts that divides the {x.Columns} columns" : "one element";
            throw Fault(step, $"has to have {heads}{(arguments.Grid.IsDynamic ? $" for each of the {x.Rows} rows" : "")}");
        }
        Same(arguments.ZeroPoint, step);
    }
}
