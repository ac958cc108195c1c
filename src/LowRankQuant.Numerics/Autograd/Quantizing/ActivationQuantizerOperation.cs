using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>Steps and zero points of a static grid, [units] each: constants, or learned as LSQ does (Esser et al., ICLR 2020).</summary>
/// <param name="Step">s, or log s.</param>
/// <param name="ZeroPoint">z; need not be whole, and is used as clamp(round(z)), straight-through.</param>
/// <param name="IsLog">Whether <paramref name="Step"/> holds log s; a step that is learned does.</param>
public sealed record StaticSteps(Variable Step, Variable ZeroPoint, bool IsLog = false);

/// <summary>Activations on an integer grid, with straight-through gradients; formulas at <see cref="ActivationQuantizerGradients"/>.</summary>
public static class ActivationQuantizerOperation
{
    /// <summary>y = x^. LSQ's factor 1/sqrt(N n) is not applied to the gradient of steps: dlog s = s ds, summed window by window (<see cref="Tape.Windows"/>).</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="grid">The grid.</param>
    /// <param name="steps">Steps of a static grid; null for a dynamic one.</param>
    /// <param name="heads">Units of a row of a dynamic grid; 1 where it is by token.</param>
    /// <param name="throughRange">Whether the gradient of a dynamic grid passes through the range that its step is made of; else steps count as constants.</param>
    /// <returns>Shaped as x.</returns>
    /// <exception cref="ArgumentException">A static grid without steps, a dynamic one with them, or a learned step that is no logarithm.</exception>
    public static Variable QuantizeActivations(this Tape tape, Variable x, ActivationGrid grid, StaticSteps? steps, int heads = 1, bool throughRange = false)
    {
        if (steps is null != grid.IsDynamic) throw new ArgumentException($"A grid by {grid.Scope} {(grid.IsDynamic ? "makes its own steps" : "needs steps")}.", nameof(steps));
        if (steps is { IsLog: false, Step.RequiresGradient: true }) throw new ArgumentException("A learned step is given as its logarithm.", nameof(steps));
        Tensor step = steps is null ? tape.Rent(x.Value.Rows, heads) : steps.IsLog ? Exponentials(tape, steps.Step.Value) : steps.Step.Value;
        Tensor zeroPoint = steps is null ? tape.Rent(x.Value.Rows, heads) : steps.ZeroPoint.Value;
        Tensor y = tape.Rent(x.Value.Shape);
        var saved = new Saved(grid, x.Value, step, zeroPoint);
        tape.Kernels.QuantizeActivations(saved.ToArguments(), y);
        Variable output = tape.Output(y, x.RequiresGradient || steps is { Step.RequiresGradient: true } or { ZeroPoint.RequiresGradient: true });
        int[] windows = tape.Windows ?? [0, x.Value.Rows];
        tape.Record(output, () => Backward(tape, saved, windows, x, steps, throughRange, output));
        return output;
    }

    private static void Backward(Tape tape, Saved saved, int[] windows, Variable x, StaticSteps? steps, bool throughRange, Variable output)
    {
        bool passesAll = saved.Grid is { IsDynamic: true, Rule: not ActivationRule.Paper } && !throughRange;
        // The gradient passes such a grid as it is.
        if (passesAll && x.TakeGradient(output)) return;
        bool learnsStep = steps is { Step.RequiresGradient: true }, learnsZero = steps is { ZeroPoint.RequiresGradient: true };
        int rows = x.Value.Rows, units = (int)saved.Step.Count;
        bool accumulate = false;
        using Tensor? dStep = learnsStep ? tape.RentGradient([rows, units]) : null, dZero = learnsZero ? tape.RentGradient([rows, units]) : null;
        tape.Kernels.QuantizeActivationsBackward(saved.ToArguments(), new ActivationQuantizerGradients
        {
            Upstream = output.Gradient!,
            Input = x.RequiresGradient ? x.GradientTarget(tape, out accumulate) : null,
            Accumulate = accumulate,
            ThroughRange = throughRange && x.RequiresGradient,
            Step = dStep,
            ZeroPoint = dZero,
        });
        if (dStep is not null) Add(tape, windows, dStep.ToArray(), saved.Step.ToArray(), steps!.Step);
        if (dZero is not null) Add(tape, windows, dZero.ToArray(), null, steps!.ZeroPoint);
    }

    // Each window's sum by itself, then one after the other.
    private static void Add(Tape tape, int[] windows, float[] parts, float[]? factors, Variable learned)
    {
        if (windows[^1] * (long)learned.Value.Count != parts.Length) throw new InvalidOperationException($"The tape's windows end at row {windows[^1]}, not with the activations.");
        Tensor target = learned.GradientTarget(tape, out bool accumulate);
        int units = (int)target.Count;
        float[] sum = accumulate ? target.ToArray() : new float[units];
        for (int window = 1; window < windows.Length; window++)
        {
            for (int unit = 0; unit < units; unit++)
            {
                double own = 0;
                for (int row = windows[window - 1]; row < windows[window]; row++) own += parts[(row * units) + unit];
                sum[unit] += (float)(factors is null ? own : own * factors[unit]);
            }
        }
        target.CopyFrom(sum);
    }

    /// <summary>e^x of every element, in memory of the tape.</summary>
    internal static Tensor Exponentials(Tape tape, Tensor logarithms)
    {
        float[] values = logarithms.ToArray();
        for (int i = 0; i < values.Length; i++) values[i] = (float)Math.Exp(values[i]);
        Tensor result = tape.Rent(logarithms.Shape);
        result.CopyFrom(values);
        return result;
    }

    // The kernels' argument types are ref structs, which a closure cannot keep.
    private sealed record Saved(ActivationGrid Grid, Tensor X, Tensor Step, Tensor ZeroPoint)
    {
        public ActivationQuantizerArguments ToArguments() => new() { Grid = Grid, X = X, Step = Step, ZeroPoint = ZeroPoint };
    }
}
