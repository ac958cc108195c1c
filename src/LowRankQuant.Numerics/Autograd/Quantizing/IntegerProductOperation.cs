using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>Linear layers computed from integer codes, see <see cref="IntegerProductArguments"/>. Values only: a tape that records needs the floats.</summary>
public static class IntegerProductOperation
{
    /// <summary>The codes of activations, in memory of the tape.</summary>
    /// <param name="tape">Does not record.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="grid">The grid, by tensor or by token.</param>
    /// <param name="steps">Steps of a static grid; null for a dynamic one.</param>
    /// <exception cref="ArgumentException">A grid by heads, a static grid without steps, or a dynamic one with them.</exception>
    /// <exception cref="InvalidOperationException">The tape records.</exception>
    public static CodedActivations ActivationCodes(this Tape tape, Variable x, ActivationGrid grid, StaticSteps? steps)
    {
        CheckValuesOnly(tape);
        if (steps is null != grid.IsDynamic) throw new ArgumentException($"A grid by {grid.Scope} {(grid.IsDynamic ? "makes its own steps" : "needs steps")}.", nameof(steps));
        (int rows, int columns) = (x.Value.Rows, x.Value.Columns);
        Tensor step = steps is null ? tape.Rent(rows) : steps.IsLog ? ActivationQuantizerOperation.Exponentials(tape, steps.Step.Value) : steps.Step.Value;
        var codes = new CodedActivations(
            grid, rows, columns, tape.Rent(CodedActivations.FloatsFor(rows, columns)), step, steps is null ? tape.Rent(rows) : steps.ZeroPoint.Value);
        tape.Kernels.ActivationCodes(new ActivationQuantizerArguments { Grid = grid, X = x.Value, Step = codes.Step, ZeroPoint = codes.ZeroPoint }, codes.Codes);
        return codes;
    }

    /// <summary>y = x^ W^ transposed + b for every row.</summary>
    /// <param name="tape">Does not record.</param>
    /// <param name="x">[rows, inFeatures].</param>
    /// <param name="weight">[outFeatures, inFeatures], without a branch.</param>
    /// <param name="bias">[outFeatures], or null.</param>
    /// <returns>[rows, outFeatures].</returns>
    /// <exception cref="InvalidOperationException">The tape records.</exception>
    public static Variable Linear(this Tape tape, CodedActivations x, UniformWeight weight, Variable? bias = null)
    {
        CheckValuesOnly(tape);
        Tensor y = tape.Rent(x.Rows, weight.OutFeatures);
        tape.Kernels.MultiplyCodes(new IntegerProductArguments { X = x, Weight = weight }, y);
        if (bias is not null) tape.Kernels.AddRow(y, bias.Value);
        return tape.Output(y, requiresGradient: false);
    }

    private static void CheckValuesOnly(Tape tape)
    {
        if (tape.Recording) throw new InvalidOperationException("Products of integer codes have no gradients; a tape that records multiplies floats.");
    }
}
