using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// The low-rank branch B A beside a learned weight, as it is or trained along. A trained factor is learned in units of the first root mean square of
/// each of its vectors (row of A, column of B), so that one learning rate serves factors and exponents alike. The forward pass sees the factors rounded
/// to what is stored and gradients pass the rounding, so the loss that is measured is the loss of the stored model.
/// </summary>
internal sealed class LearnedBranch : IDisposable
{
    private readonly LowRankBranch _start;
    private readonly Variable _left;
    private readonly Variable _right;
    private readonly float[] _leftUnit;
    private readonly float[] _rightUnit;

    private LearnedBranch(LowRankBranch start, Variable left, Variable right, float[] leftUnit, float[] rightUnit)
    {
        _start = start;
        _left = left;
        _right = right;
        _leftUnit = leftUnit;
        _rightUnit = rightUnit;
    }

    /// <summary>B and A in their units, where they are learned; empty else.</summary>
    public IReadOnlyList<Variable> LearnedFactors => Trained ? [_left, _right] : [];

    private bool Trained => _left.RequiresGradient;

    /// <summary>Learned numbers of a branch that is trained.</summary>
    public static long ParameterCount(LowRankBranch branch) => branch.A.LongLength + branch.B.LongLength;

    /// <summary>A branch that stays as it is.</summary>
    public static LearnedBranch Fixed(LowRankBranch branch, Device device) => new(
        branch, new Variable(device.From(branch.B, branch.B.Length / branch.Rank, branch.Rank)),
        new Variable(device.From(branch.A, branch.Rank, branch.A.Length / branch.Rank)), [], []);

    /// <summary>A branch whose factors are learned, placed in the arena.</summary>
    public static LearnedBranch Learned(LowRankBranch branch, ParameterArena arena)
    {
        int rank = branch.Rank, outFeatures = branch.B.Length / rank, inFeatures = branch.A.Length / rank;
        float[] leftUnit = Units(branch.B, rank, 1, rank), rightUnit = Units(branch.A, rank, inFeatures, 1);
        return new LearnedBranch(
            branch, arena.Take(Over(branch.B, leftUnit), outFeatures, rank), arena.Take(Over(branch.A, rightUnit), rank, inFeatures), leftUnit, rightUnit);
    }

    /// <summary>The weight [outFeatures, inFeatures] plus the branch as stored.</summary>
    public Variable AddTo(Tape tape, Variable weight)
    {
        if (!Trained) return tape.AddLowRank(weight, _left, _right);
        Variable left = tape.RoundStraightThrough(_left, _leftUnit, RoundLeft), right = tape.RoundStraightThrough(_right, _rightUnit, RoundRight);
        return tape.AddLowRank(weight, left, right);
    }

    /// <summary>The branch as it is stored.</summary>
    public LowRankBranch ToBranch()
    {
        if (!Trained) return _start;
        float[] left = _left.Value.ToArray(), right = _right.Value.ToArray();
        for (int i = 0; i < left.Length; i++) left[i] *= _leftUnit[i];
        for (int i = 0; i < right.Length; i++) right[i] *= _rightUnit[i];
        RoundLeft(left);
        RoundRight(right);
        return _start with { A = right, B = left };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Views into an arena own nothing and stay.
        _left.Value.Dispose();
        _right.Value.Dispose();
    }

    private void RoundLeft(float[] values) => FactorRounding.Columns(values, _start.Rank, _start.BitsPerFactor);

    private void RoundRight(float[] values) => FactorRounding.Rows(values, _start.Rank, _start.BitsPerFactor);

    // The root mean square of its vector for every element; 1 for a vector of zeros, which stays at zero.
    private static float[] Units(float[] factor, int rank, int start, int stride)
    {
        var units = new float[factor.Length];
        int length = factor.Length / rank;
        for (int vector = 0; vector < rank; vector++)
        {
            double sum = 0;
            for (int i = 0; i < length; i++) sum += (double)factor[(vector * start) + (i * stride)] * factor[(vector * start) + (i * stride)];
            float unit = sum > 0 ? (float)Math.Sqrt(sum / length) : 1;
            for (int i = 0; i < length; i++) units[(vector * start) + (i * stride)] = unit;
        }
        return units;
    }

    private static float[] Over(float[] values, float[] units) => [.. values.Select((value, i) => value / units[i])];
}
