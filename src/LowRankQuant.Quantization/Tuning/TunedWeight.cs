using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>A linear being tuned whose codes stay, in a slot: its codes are there while the slot's block is in memory, what is learned of it outlives that.</summary>
internal sealed class TunedWeight : IWeightSource
{
    private readonly TunedLinear _linear;
    private readonly Tensor _units;

    /// <summary>Puts codes and parameters together.</summary>
    /// <param name="linear">What is learned.</param>
    /// <param name="weight">Codes and zero points.</param>
    /// <param name="device">Where the codes go.</param>
    public TunedWeight(TunedLinear linear, UniformWeight weight, Device device)
    {
        _linear = linear;
        _units = device.From(Units(weight), weight.OutFeatures, weight.InFeatures);
    }

    /// <inheritdoc/>
    public Variable Weight(Tape tape) => _linear.Weight(tape, _units);

    /// <inheritdoc/>
    public void Dispose() => _units.Dispose();

    private static float[] Units(UniformWeight weight)
    {
        float[] units = new float[weight.Codes.Length], zeros = TunedLinear.ZerosOf(weight);
        int size = units.Length / Math.Max(1, zeros.Length);
        for (int i = 0; i < units.Length; i++) units[i] = weight.Codes[i] - zeros[i / size];
        return units;
    }
}
