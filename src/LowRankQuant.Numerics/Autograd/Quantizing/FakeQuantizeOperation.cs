using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>The learned-scale fake quantizer of LRQ and FlexRound; the formulas stand at <see cref="FakeQuantizeArguments"/>.</summary>
public static class FakeQuantizeOperation
{
    /// <summary>
    /// What = clamp(round(W / exp(log s1 + L2 U2 + S2 + r2 + c2) + V), -zero, maxCode - zero) exp(log s1), straight-through gradient of the rounding,
    /// exact gradient of the clamp.
    /// </summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="parameters">The weight, its grid and what is learned.</param>
    /// <returns>What, [outFeatures, inFeatures].</returns>
    public static Variable FakeQuantize(this Tape tape, FakeQuantizeParameters parameters)
    {
        FakeQuantizeParameters p = parameters;
        int outFeatures = p.Weight.Shape[0], inFeatures = p.Weight.Columns;
        bool learns = tape.Recording && new[] { p.LogScale, p.Left, p.Full, p.RowOffset, p.ColumnOffset, p.Offset, p.ZeroPoint }.Any(learned => learned is { RequiresGradient: true });
        Tensor? slope = learns && (p.Offset ?? p.ZeroPoint) is not null ? tape.Rent(outFeatures, inFeatures) : null;
        Tensor quantized = tape.Rent(outFeatures, inFeatures);
        Tensor? residue = learns || p.Left is not null ? tape.Rent(outFeatures, inFeatures) : null;
        // The product L2 U2 is written where the residue will stand: the quantizer reads each element before it overwrites it.
        Tensor? delta = p.Full?.Value;
        if (p.Left is not null)
        {
            tape.Kernels.MatMul(p.Left.Value, false, p.Right!.Value, false, residue!, accumulate: false);
            delta = residue;
        }
        var arguments = new Saved(p, p.ZeroPoint is { } zero ? Zeros(tape, zero.Value, p) : p.Zero, delta, quantized, residue, slope);
        tape.Kernels.FakeQuantizeForward(arguments.ToArguments());
        Variable output = tape.Output(quantized, learns);
        tape.Record(output, () => Backward(tape, arguments, output.Gradient!));
        return output;
    }

    private static void Backward(Tape tape, Saved saved, Tensor upstream)
    {
        FakeQuantizeParameters p = saved.Parameters;
        Tensor? dDelta = p.Full is not null ? p.Full.GradientTarget(tape, out _) : p.Left is not null ? saved.Residue : null;
        tape.Kernels.FakeQuantizeBackward(saved.ToArguments(), new FakeQuantizeGradients
        {
            Upstream = upstream,
            Delta = dDelta,
            LogScale = p.LogScale.RequiresGradient ? p.LogScale.GradientTarget(tape, out _) : tape.Rent(p.LogScale.Value.Shape),
            RowOffset = p.RowOffset?.GradientTarget(tape, out _),
            ColumnOffset = p.ColumnOffset?.GradientTarget(tape, out _),
            Offset = p.Offset?.GradientTarget(tape, out _),
            Zero = p.ZeroPoint?.GradientTarget(tape, out _),
        });
        if (p.Left is null) return;
        tape.Kernels.Multiply(tape.Precision, dDelta!, false, p.Right!.Value, true, p.Left.GradientTarget(tape, out _), accumulate: false);
        tape.Kernels.Multiply(tape.Precision, p.Left.Value, true, dDelta!, false, p.Right.GradientTarget(tape, out _), accumulate: false);
    }

    private static Tensor Zeros(Tape tape, Tensor learned, FakeQuantizeParameters parameters)
    {
        Tensor zeros = tape.Rent(learned.Shape);
        zeros.CopyFrom([.. learned.ToArray().Select(parameters.ZeroOf)]);
        return zeros;
    }

    // The kernels' argument types are ref structs, which a closure cannot keep.
    private sealed record Saved(FakeQuantizeParameters Parameters, Tensor Zero, Tensor? Delta, Tensor Quantized, Tensor? Residue, Tensor? Slope)
    {
        public FakeQuantizeArguments ToArguments() => new()
        {
            Weight = Parameters.Weight,
            LogScale = Parameters.LogScale.Value,
            Zero = Zero,
            Delta = Delta,
            RowOffset = Parameters.RowOffset?.Value,
            ColumnOffset = Parameters.ColumnOffset?.Value,
            MaxCode = Parameters.MaxCode,
            Floats = Parameters.Floats,
            Quantized = Quantized,
            Residue = Residue,
            Offset = Parameters.Offset?.Value,
            Softness = Parameters.Softness,
            Slope = Slope,
        };
    }
}

/// <summary>What the fake quantizer of one weight reads and learns. Each learned variable is used by one quantizer only.</summary>
public sealed record FakeQuantizeParameters
{
    /// <summary>W, [outFeatures, inFeatures].</summary>
    public required Tensor Weight { get; init; }

    /// <summary>log s1, [outFeatures, groups]; may be given and not learned.</summary>
    public required Variable LogScale { get; init; }

    /// <summary>The place of the value 0 among the codes, [outFeatures, groups]; need not be an integer.</summary>
    public required Tensor Zero { get; init; }

    /// <summary>The largest code, 2^bits - 1.</summary>
    public required int MaxCode { get; init; }

    /// <summary>What codes stand for where they are floats, and <see cref="Zero"/> says nothing; null for integers.</summary>
    public SmallFloat? Floats { get; init; }

    /// <summary>L2, [outFeatures, rank], or null.</summary>
    public Variable? Left { get; init; }

    /// <summary>U2, [rank, inFeatures]; given with <see cref="Left"/>.</summary>
    public Variable? Right { get; init; }

    /// <summary>S2, [outFeatures, inFeatures], or null; excludes <see cref="Left"/>.</summary>
    public Variable? Full { get; init; }

    /// <summary>r2, [outFeatures], or null.</summary>
    public Variable? RowOffset { get; init; }

    /// <summary>V, [outFeatures, inFeatures] in steps, or null.</summary>
    public Variable? Offset { get; init; }

    /// <summary>
    /// Zero points that are learned, [outFeatures, groups], in units of <see cref="ZeroUnit"/> codes and, unless minima are stored as floats, rounded to whole ones in the forward pass; null where <see cref="Zero"/> stays. The
    /// gradient counts the unit as 1: whoever steps by signs or by Adam takes no notice.
    /// </summary>
    public Variable? ZeroPoint { get; init; }

    /// <summary>Codes of a unit of <see cref="ZeroPoint"/>: a zero point has to move by a whole code before anything changes, and learns at the rate of exponents.</summary>
    public const float ZeroUnit = 8;

    /// <summary>The zero point that a learned number stands for.</summary>
    public static int WholeZero(float learned, int maxCode) => (int)Math.Clamp(MathF.Round(learned * ZeroUnit), 0, maxCode);

    /// <summary>Whether learned zero points are whole codes; not where a minimum is stored as a float.</summary>
    public bool HasWholeZeros { get; init; } = true;

    /// <summary>The zero point that a learned number stands for here.</summary>
    public float ZeroOf(float learned) => HasWholeZeros ? WholeZero(learned, MaxCode) : learned * ZeroUnit;

    /// <summary>Half the width of the ramps that stand for the jumps of the rounding; 0 for rounding (<see cref="FakeQuantizeArguments.Softness"/>).</summary>
    public float Softness { get; init; }

    /// <summary>c2, [inFeatures], or null.</summary>
    public Variable? ColumnOffset { get; init; }
}
