namespace LowRankQuant.Numerics.Autograd;

/// <summary>
/// Where an operation whose kernel overwrites its result puts the gradient of one input: straight into the variable's gradient, or, when that holds
/// a part already or is not wanted, into scratch that <see cref="Finish"/> adds or drops.
/// </summary>
internal readonly struct GradientSink
{
    private readonly Tape _tape;
    private readonly Tensor? _sum;

    private GradientSink(Tape tape, Tensor target, Tensor? sum)
    {
        _tape = tape;
        Target = target;
        _sum = sum;
    }

    public Tensor Target { get; }

    public static GradientSink For(Tape tape, Variable variable)
    {
        if (!variable.RequiresGradient) return new GradientSink(tape, tape.Rent(variable.Value.Shape), null);
        Tensor gradient = variable.GradientTarget(tape, out bool accumulate);
        return accumulate ? new GradientSink(tape, tape.Rent(variable.Value.Shape), gradient) : new GradientSink(tape, gradient, null);
    }

    public void Finish()
    {
        if (_sum is not null) _tape.Kernels.Add(_sum, Target, _sum);
    }
}
