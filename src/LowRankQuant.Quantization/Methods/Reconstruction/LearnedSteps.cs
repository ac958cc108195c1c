using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// Static steps of inputs that are learned along with the rounding of weights: s = exp(t), with the straight-through gradients of LSQ (Esser et al., ICLR 2020) without its
/// factor; zero points stay.
/// </summary>
/// <param name="quantizers">The quantizers of the block.</param>
internal sealed class LearnedSteps(BlockQuantizers quantizers) : IDisposable
{
    private readonly int[] _places = [.. Enumerable.Range(0, quantizers.Inputs.Count).Where(place => quantizers.Inputs[place].Steps.Length > 0)];
    private Variable[] _logs = [];
    private Tensor[] _zeros = [];

    /// <summary>How many there are.</summary>
    public int Count => _places.Length;

    /// <summary>Places them in an arena, where they learn at a rate of their own.</summary>
    public void Take(ParameterArena arena)
    {
        arena.BeginSecond();
        _logs = [.. _places.Select(place => arena.Take([MathF.Log(quantizers.Inputs[place].Steps[0])], 1))];
        _zeros = [.. _places.Select(place => quantizers.Inputs[place].ZeroPoints is [var zero] ? arena.Device.From([zero], 1) : arena.Device.Zeros(1))];
    }

    /// <summary>Puts learned quantizers in the place of the static ones that are installed.</summary>
    public void Install()
    {
        for (int i = 0; i < _places.Length; i++)
        {
            InputQuantizer input = quantizers.Inputs[_places[i]];
            var learned = GridQuantizer.Learned(input.Quantizer.Grid, new StaticSteps(_logs[i], new Variable(_zeros[i]), IsLog: true));
            foreach (LinearSlot slot in input.Slots) slot.InputQuantizer = learned;
        }
    }

    /// <summary>Makes the steps as they are now those of the block, rounded to their stored type.</summary>
    public void Keep(ScaleType type)
    {
        for (int i = 0; i < _places.Length; i++)
        {
            quantizers.SetSteps(_places[i], [StorageScale.Round(MathF.Exp(_logs[i].Value.ToArray()[0]), type)]);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor zero in _zeros) zero.Dispose();
    }
}
