using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>
/// What is learned of one quantized linear when its codes stay: its scales, each in units of its first value, and the factors of its branch. The forward
/// pass sees both rounded to what is stored, so the loss that is measured is the loss of the stored model.
/// </summary>
internal sealed class TunedLinear : IDisposable
{
    private readonly Variable _relative;
    private readonly float[] _first;
    private readonly LearnedBranch? _branch;
    private readonly ScaleType _type;
    private readonly int? _digits;

    private TunedLinear(Variable relative, float[] first, LearnedBranch? branch, ScaleType type, int? digits)
    {
        _relative = relative;
        _first = first;
        _branch = branch;
        _type = type;
        _digits = digits;
    }

    /// <summary>Learned numbers of a weight.</summary>
    public static long ParameterCount(UniformWeight weight) => weight.Scales.Length + (weight.Branch is { } branch ? LearnedBranch.ParameterCount(branch) : 0);

    /// <summary>Places the parameters in the arena, at the weight as it is.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="arena">Holds what is learned.</param>
    /// <param name="digits">Significant bits of a stored scale; null for all that its type has.</param>
    public static TunedLinear Create(UniformWeight weight, ParameterArena arena, int? digits)
    {
        var ones = new float[weight.Scales.Length];
        Array.Fill(ones, 1);
        Variable relative = arena.Take(ones, ones.Length);
        return new TunedLinear(
            relative, weight.Scales, weight.Branch is { } branch ? LearnedBranch.Learned(branch, arena) : null, weight.ScaleType, digits);
    }

    /// <summary>The weight [outFeatures, inFeatures] as the parameters are now.</summary>
    /// <param name="tape">Records how it came about.</param>
    /// <param name="units">Codes less their zero points, [outFeatures, inFeatures].</param>
    public Variable Weight(Tape tape, Tensor units)
    {
        Variable weight = tape.GroupScale(units, tape.RoundStraightThrough(_relative, _first, Round));
        return _branch is null ? weight : _branch.AddTo(tape, weight);
    }

    /// <summary>The stored form of the parameters as they are now.</summary>
    /// <param name="weight">The weight that they began at.</param>
    public UniformWeight Stored(UniformWeight weight)
    {
        float[] scales = _relative.Value.ToArray();
        for (int i = 0; i < scales.Length; i++) scales[i] *= _first[i];
        Round(scales);
        return new UniformWeight(weight.OutFeatures, weight.InFeatures, weight.Grid, weight.Codes, scales, weight.ZeroPoints, weight.ScaleType, _branch?.ToBranch());
    }

    /// <inheritdoc/>
    public void Dispose() => _branch?.Dispose();

    // A scale that would leave its type stays at its end, and one of a sign keeps it. One that is no number stays so: the loss then is none either, and tuning ends.
    private void Round(float[] scales)
    {
        float largest = _type == ScaleType.Float16 ? (float)Half.MaxValue : BFloat16.ToSingle(0x7F7F);
        for (int i = 0; i < scales.Length; i++)
        {
            if (float.IsNaN(scales[i])) continue;
            float sign = MathF.CopySign(1, _first[i]);
            scales[i] = sign * StorageScale.Round(Math.Clamp(sign * scales[i], 0, largest), _type, _digits);
        }
    }
}
