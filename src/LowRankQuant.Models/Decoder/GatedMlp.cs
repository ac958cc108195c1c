using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Models.Decoder;

/// <summary>down(activation(gate x) * up x).</summary>
public sealed class GatedMlp : IDisposable
{
    /// <summary>Gate projection, [intermediate, hidden].</summary>
    public required LinearSlot Gate { get; init; }

    /// <summary>Up projection, [intermediate, hidden].</summary>
    public required LinearSlot Up { get; init; }

    /// <summary>Down projection, [hidden, intermediate].</summary>
    public required LinearSlot Down { get; init; }

    /// <summary>Applied to the gate.</summary>
    public required Activation Activation { get; init; }

    /// <summary>Applies the MLP to every row of <paramref name="x"/> [rows, hidden].</summary>
    public Variable Apply(Tape tape, Variable x) => Down.Apply(tape, Activate(tape, x));

    /// <summary>activation(gate x) * up x, [rows, intermediate]: what the down projection sees.</summary>
    public Variable Activate(Tape tape, Variable x) => tape.GatedActivation(Activation, Gate.Apply(tape, x), Up.Apply(tape, x));

    /// <inheritdoc/>
    public void Dispose()
    {
        Gate.Dispose();
        Up.Dispose();
        Down.Dispose();
    }
}
