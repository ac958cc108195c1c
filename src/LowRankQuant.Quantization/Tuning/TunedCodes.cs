using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>
/// A linear being tuned whose codes are learned too, in a slot: its weight is made once while the slot's block is in memory, the gradients of all windows are summed on it, and
/// <see cref="Finish"/> takes them to what is learned.
/// </summary>
internal sealed class TunedCodes : IWeightSource
{
    private readonly Tape _tape;
    private readonly Variable _made;
    private readonly Tensor _slope;
    private readonly Variable _weight;

    /// <summary>Makes the weight.</summary>
    /// <param name="linear">What is learned.</param>
    /// <param name="device">Where the weight goes.</param>
    public TunedCodes(TunedLinear linear, Device device)
    {
        _tape = new Tape(device, recording: true);
        _made = linear.Weight(_tape);
        _slope = device.Empty(_made.Value.Shape);
        _weight = new Variable(_made.Value, _slope);
    }

    /// <inheritdoc/>
    public Variable Weight(Tape tape) => _weight;

    /// <summary>Takes the gradients that windows have given the weight to what is learned; once.</summary>
    public void Finish()
    {
        if (_weight.HasGradient) _tape.Backward(_made, _slope);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _tape.Dispose();
        _slope.Dispose();
    }
}
