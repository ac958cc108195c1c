using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Norms;

/// <summary>
/// The norm behind a recurrence with a state, RMS over each group of n / groups channels:
/// <code>
/// gate first     RMS(y silu(z)) * weight
/// gate last      RMS(y) * weight * silu(z)
/// </code>
/// </summary>
internal sealed class GatedNorm : IDisposable
{
    private readonly Tensor _weight;
    private readonly Variable _groupWeight;
    private readonly float _epsilon;
    private readonly bool _gateFirst;

    /// <param name="weight">[n], a constant; owned.</param>
    /// <param name="channels">n.</param>
    /// <param name="groups">Groups of channels that are normalised by themselves; divides n.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="gateFirst">Whether the gate comes before the norm.</param>
    /// <exception cref="ArgumentOutOfRangeException">The groups do not divide n.</exception>
    public GatedNorm(Tensor weight, int channels, int groups, float epsilon, bool gateFirst)
    {
        if (groups < 1 || channels % groups != 0)
            throw new ArgumentOutOfRangeException(nameof(groups), groups, $"The number of groups divides the {channels} channels.");
        (_weight, _epsilon, _gateFirst) = (weight, epsilon, gateFirst);
        if (groups == 1)
        {
            _groupWeight = new Variable(weight);
            return;
        }

        // The norm knows one weight for all groups: it gets ones, and the channels their weights afterwards.
        Tensor ones = weight.Device.Empty(channels / groups);
        weight.Device.Kernels.Fill(ones, 1);
        _groupWeight = new Variable(ones);
    }

    /// <summary>Normalises and gates.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="y">[rows, n].</param>
    /// <param name="z">The gate, [rows, n].</param>
    /// <returns>[rows, n].</returns>
    public Variable Apply(Tape tape, Variable y, Variable z)
    {
        if (_gateFirst) return Normalize(tape, tape.GatedActivation(Activation.Silu, z, y));
        return tape.GatedActivation(Activation.Silu, z, Normalize(tape, y));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _weight.Dispose();
        if (_groupWeight.Value != _weight) _groupWeight.Value.Dispose();
    }

    private Variable Normalize(Tape tape, Variable x)
    {
        Variable normalized = tape.RmsNorm(x, _groupWeight, _epsilon);
        return _groupWeight.Value == _weight ? normalized : tape.ScaleColumns(normalized, _weight);
    }
}
