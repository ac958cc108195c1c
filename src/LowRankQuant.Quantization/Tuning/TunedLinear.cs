using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>
/// What is learned of one quantized linear when the whole model is tuned: its scales, each in units of its first value, the factors of its branch, and, where codes may move
/// (<see cref="LearnCodes"/>), a number for every weight whose nearest integer is its code. The forward pass sees everything rounded to what is stored, so the loss that is
/// measured is the loss of the stored model.
/// </summary>
internal sealed class TunedLinear : IDisposable
{
    // Numbers stay within the cells of the first and the last code: a gradient always reaches them, and none runs off.
    private const float CellEnd = 0.49f;

    // The part of its distance from the middle of its cell that a weight keeps where its code begins. With less, those whose two codes are about equally good take many steps to
    // change; with all of it they change with the first gradients' noise (docs/results/lrq-plus.md).
    private const float Depth = 0.8f;

    private readonly Variable _relative;
    private readonly float[] _first;
    private readonly LearnedBranch? _branch;
    private readonly ScaleType _type;
    private readonly int? _digits;
    private Variable? _codes;
    private float[] _zeros = [];
    private int _maxCode;

    private TunedLinear(Variable relative, float[] first, LearnedBranch? branch, ScaleType type, int? digits)
    {
        _relative = relative;
        _first = first;
        _branch = branch;
        _type = type;
        _digits = digits;
    }

    /// <summary>Whether codes are learned too.</summary>
    public bool LearnsCodes => _codes is not null;

    /// <summary>Learned numbers of a weight, codes left out.</summary>
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

    /// <summary>
    /// Learns codes too. Each begins within its cell, on the side where the weight in full precision lies (<see cref="LayerStart.IntoCell"/>): the closer a choice was, the sooner
    /// it is changed.
    /// </summary>
    /// <param name="weight">The weight.</param>
    /// <param name="original">The weight in full precision, [outFeatures, inFeatures]; overwritten.</param>
    /// <param name="arena">Holds what is learned.</param>
    public void LearnCodes(UniformWeight weight, float[] original, ParameterArena arena)
    {
        // What the branch holds is not the codes' to hold.
        float[]? branch = weight.Branch is null ? null : new float[original.Length];
        weight.Branch?.AddTo(branch);
        _zeros = ZerosOf(weight);
        _maxCode = weight.Grid.MaxCode;
        float[] start = original;
        int size = start.Length / Math.Max(1, _zeros.Length);
        for (int i = 0; i < start.Length; i++)
        {
            (float step, float zero) = (weight.Scales[i / size], _zeros[i / size]);
            float value = step == 0 ? weight.Codes[i] - zero : (original[i] - (branch?[i] ?? 0)) / step;
            start[i] = Math.Clamp(LayerStart.IntoCell(value, weight.Codes[i], zero, _maxCode, Depth) + zero, -CellEnd, _maxCode + CellEnd);
        }
        _codes = arena.TakeBounded(start, -CellEnd, _maxCode + CellEnd, weight.OutFeatures, weight.InFeatures);
    }

    /// <summary>The weight [outFeatures, inFeatures] as the parameters are now, its codes as they were.</summary>
    /// <param name="tape">Records how it came about.</param>
    /// <param name="units">Codes less their zero points, [outFeatures, inFeatures].</param>
    public Variable Weight(Tape tape, Tensor units) => WithBranch(tape, tape.GroupScale(units, Scales(tape)));

    /// <summary>The weight [outFeatures, inFeatures] as the parameters are now, codes included.</summary>
    /// <param name="tape">Records how it came about.</param>
    public Variable Weight(Tape tape) => WithBranch(tape, tape.RoundCodes(_codes!, Scales(tape), _zeros, _maxCode));

    /// <summary>The stored form of the parameters as they are now.</summary>
    /// <param name="weight">The weight that they began at.</param>
    public UniformWeight Stored(UniformWeight weight)
    {
        float[] scales = _relative.Value.ToArray();
        for (int i = 0; i < scales.Length; i++) scales[i] *= _first[i];
        Round(scales);
        byte[] codes = _codes is null ? weight.Codes : [.. _codes.Value.ToArray().Select(code => (byte)Math.Clamp(MathF.Round(code), 0, _maxCode))];
        return new UniformWeight(weight.OutFeatures, weight.InFeatures, weight.Grid, codes, scales, weight.ZeroPoints, weight.ScaleType, _branch?.ToBranch());
    }

    /// <inheritdoc/>
    public void Dispose() => _branch?.Dispose();

    /// <summary>The code of the value 0 of every group.</summary>
    internal static float[] ZerosOf(UniformWeight weight)
    {
        var zeros = new float[weight.Scales.Length];
        for (int group = 0; group < zeros.Length; group++) zeros[group] = weight.ZeroPoints is { } given ? given[group] : weight.Grid.SymmetricZero;
        return zeros;
    }

    private Variable Scales(Tape tape) => tape.RoundStraightThrough(_relative, _first, Round);

    private Variable WithBranch(Tape tape, Variable weight) => _branch is null ? weight : _branch.AddTo(tape, weight);

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
