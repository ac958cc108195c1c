using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.FeedForward;

/// <summary>A non-linearity between linears: a fixed one or one with constants.</summary>
/// <param name="Fixed">A fixed one; null where there is a curve.</param>
/// <param name="Curve">One with constants; null where there is a fixed one.</param>
internal readonly record struct NonLinearity(Activation? Fixed, Curve? Curve)
{
    public static implicit operator NonLinearity(Activation activation) => new(activation, null);

    public static implicit operator NonLinearity(Curve curve) => new(null, curve);

    public Variable Apply(Tape tape, Variable x) => Fixed is { } activation ? tape.Activate(activation, x) : tape.Bend(Curve!.Value, x);
}

/// <summary>An MLP that may be one of several experts.</summary>
internal interface IExpert : IFeedForward
{
    /// <summary>Down projection, [hidden, intermediate].</summary>
    LinearSlot Down { get; }

    /// <summary>Whether passes do without the whole of it: see <see cref="LinearSlot.IsIdle"/>.</summary>
    bool IsIdle { get; }

    /// <summary>What the down projection sees, [rows, intermediate].</summary>
    Variable Activate(Tape tape, Variable x);
}

/// <summary>down(gate(gate x, up x)) with activation(gate x) * up x or the clamped gate of gpt-oss.</summary>
internal sealed record GatedMlp : IExpert
{
    /// <summary>Gate projection, [intermediate, hidden].</summary>
    public required LinearSlot Gate { get; init; }

    /// <summary>Up projection, [intermediate, hidden].</summary>
    public required LinearSlot Up { get; init; }

    /// <summary>Down projection, [hidden, intermediate].</summary>
    public required LinearSlot Down { get; init; }

    /// <summary>Applied to the gate.</summary>
    public Activation Activation { get; init; }

    /// <summary>In its place: the clamped gate.</summary>
    public ClampedGate? Clamped { get; init; }

    /// <summary>Multiplies the gate in front of the activation.</summary>
    public float GateFactor { get; init; } = 1;

    /// <summary>Multiplies what comes out.</summary>
    public float OutputFactor { get; init; } = 1;

    /// <inheritdoc/>
    public TapeNumbers OnTape => new(
        ((GateFactor == 1 ? 3L : 4) * Down.InFeatures) + (OutputFactor == 1 ? 0 : Down.OutFeatures), Up.InFeatures + (long)Down.InFeatures);

    /// <inheritdoc/>
    public bool IsIdle => Gate.IsIdle || Up.IsIdle || Down.IsIdle;

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x)
    {
        Variable y = Down.Apply(tape, Activate(tape, x));
        return OutputFactor == 1 ? y : tape.Scale(y, OutputFactor);
    }

    /// <inheritdoc/>
    public Variable Activate(Tape tape, Variable x)
    {
        Variable gate = Gate.Apply(tape, x), up = Up.Apply(tape, x);
        if (GateFactor != 1) gate = tape.Scale(gate, GateFactor);
        return Clamped is { } constants ? tape.ClampedGate(constants, gate, up) : tape.GatedActivation(Activation, gate, up);
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers)
    {
        readers.Add(Gate);
        readers.Add(Up);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Down);
        // activation(gate) * up is linear in up.
        if (Clamped is null) folds.Up(Up, Down);
        else folds.Refuse(Down, FoldKind.Up, "the gate in front clamps its up half");
    }
}

/// <summary>down(activation(up x)).</summary>
internal sealed class PlainMlp : IExpert
{
    /// <summary>Up projection, [intermediate, hidden].</summary>
    public required LinearSlot Up { get; init; }

    /// <summary>Down projection, [hidden, intermediate].</summary>
    public required LinearSlot Down { get; init; }

    /// <summary>Between them.</summary>
    public required NonLinearity Activation { get; init; }

    /// <inheritdoc/>
    public TapeNumbers OnTape => new(2L * Down.InFeatures, Up.InFeatures + (long)Down.InFeatures);

    /// <inheritdoc/>
    public bool IsIdle => Up.IsIdle || Down.IsIdle;

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x) => Down.Apply(tape, Activate(tape, x));

    /// <inheritdoc/>
    public Variable Activate(Tape tape, Variable x) => Activation.Apply(tape, Up.Apply(tape, x));

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers) => readers.Add(Up);

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Down);
        // max(x / f, 0) f is max(x, 0) for f above 0; no other activation scales with its input.
        if (Activation.Fixed == Numerics.Activation.Relu) folds.Up(Up, Down);
        else folds.Refuse(Down, FoldKind.Up, $"the activation in front ({Activation.Fixed?.ToString() ?? "a curve with constants"}) does not scale with its input");
    }
}
