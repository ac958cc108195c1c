using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// First grids of a weight with a scale s and a float minimum m per group x, q = clamp(round((x - m) / s), 0, 2^b - 1), value s q + m. Every pair that is
/// looked at is one as it would be stored.
/// <code>
/// plain     m = min x,  s = (max x - min x) / (2^b - 1); the range need not hold 0
/// searched  1. of all ranges [min + i d, max - j d], d = (max - min) / 32, i and j = 0..14, the one with the smallest mean of |x - value|^2.4
///           2. (s, m) = argmin sum (x - s q - m)^2 for the codes q that the pair gives, again and again while the mean falls
/// </code>
/// The plain range is among those searched, and step 2 only ever lowers the mean, so that neither is worse than what came before.
/// </summary>
internal static class AffineSearch
{
    /// <summary>Parts of a range, of which so many may be cut off at either end.</summary>
    internal const int Parts = 32, MostCut = 14;

    /// <summary>Most least-squares steps.</summary>
    internal const int MostFits = 8;

    private const int GroupsPerChunk = 64;

    // A step below this part of the largest weight tells nothing apart, and the place of 0 among the codes would be no float that counts them.
    private const float SmallestStep = 1f / (1 << 14);

    /// <summary>Finds scales and minima, both as they are stored.</summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major; groups follow each other.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="start">Plain ranges, or searched ones.</param>
    /// <param name="scaleType">Stored type of scales and minima.</param>
    /// <param name="workers">Threads; groups are independent, so their number changes nothing.</param>
    /// <exception cref="ArgumentOutOfRangeException">A weight is not finite, or beyond the stored type.</exception>
    public static AffineParameters Find(ReadOnlyMemory<float> weight, AffineGrid grid, GridStart start, ScaleType scaleType, WorkerPool workers)
    {
        int size = grid.GroupSize, groups = weight.Length / size;
        float[] steps = new float[groups], minima = new float[groups];
        workers.Run((groups + GroupsPerChunk - 1) / GroupsPerChunk, chunk =>
        {
            var scratch = new float[size];
            for (int group = chunk * GroupsPerChunk; group < Math.Min(groups, (chunk + 1) * GroupsPerChunk); group++)
            {
                AffineGroup found = FindGroup(weight.Span.Slice(group * size, size), grid.MaxCode, start, scaleType, scratch);
                (steps[group], minima[group]) = (found.Step, found.Minimum);
            }
        });
        return new AffineParameters(steps, minima);
    }

    /// <summary>Scale and minimum of one group.</summary>
    /// <param name="group">Its weights.</param>
    /// <param name="maxCode">The largest code.</param>
    /// <param name="start">Plain range or search.</param>
    /// <param name="scaleType">Stored type.</param>
    /// <param name="scratch">As long as the group.</param>
    internal static AffineGroup FindGroup(ReadOnlySpan<float> group, int maxCode, GridStart start, ScaleType scaleType, Span<float> scratch)
    {
        float min = float.PositiveInfinity, max = float.NegativeInfinity;
        foreach (float value in group)
        {
            if (!float.IsFinite(value)) throw new ArgumentOutOfRangeException(nameof(group), value, "A weight is not finite.");
            min = Math.Min(min, value);
            max = Math.Max(max, value);
        }
        float floor = Math.Max(-min, max) * SmallestStep;
        AffineGroup best = Stored(min, max - min);
        if (start == GridStart.MinMax || max == min) return best;
        float score = best.Score(group, maxCode, scratch), part = (max - min) / Parts;
        for (int low = 0; low <= MostCut; low++)
        {
            for (int high = 0; high <= MostCut; high++) Try(Stored(min + (low * part), max - min - ((low + high) * part)), group, scratch, ref best, ref score);
        }
        for (int fit = 0; fit < MostFits; fit++)
        {
            (double step, double minimum) = LeastSquares(group, best, maxCode);
            if (!(step > 0) || !double.IsFinite(step) || !double.IsFinite(minimum)) break;
            if (!Try(Pair((float)step, (float)minimum), group, scratch, ref best, ref score)) break;
        }
        return best;

        AffineGroup Stored(float low, float range) => Pair(range / maxCode, low);

        AffineGroup Pair(float step, float low) => new(StorageScale.Round(Math.Max(step, floor), scaleType), StorageScale.RoundMinimum(low, scaleType));

        bool Try(AffineGroup candidate, ReadOnlySpan<float> values, Span<float> shifted, ref AffineGroup least, ref float lowest)
        {
            float here = candidate.Score(values, maxCode, shifted);
            if (!(here < lowest)) return false;
            (least, lowest) = (candidate, here);
            return true;
        }
    }

    // Normal equations of x = s q + m.
    private static (double Step, double Minimum) LeastSquares(ReadOnlySpan<float> group, AffineGroup fit, int maxCode)
    {
        double code = 0, codeCode = 0, value = 0, valueCode = 0;
        foreach (float x in group)
        {
            double q = fit.Code(x, maxCode);
            code += q;
            codeCode += q * q;
            value += x;
            valueCode += q * x;
        }
        double determinant = (group.Length * codeCode) - (code * code), step = ((group.Length * valueCode) - (value * code)) / determinant;
        return (step, (value - (step * code)) / group.Length);
    }
}

/// <summary>Scales and minima of one weight, one of each per group, as they are stored.</summary>
/// <param name="Steps">[outFeatures, groups]; positive.</param>
/// <param name="Minima">As the steps: values of code 0.</param>
public sealed record AffineParameters(float[] Steps, float[] Minima);

/// <summary>Scale and minimum of a group.</summary>
/// <param name="Step">s; positive.</param>
/// <param name="Minimum">m, the value of code 0.</param>
internal readonly record struct AffineGroup(float Step, float Minimum)
{
    /// <summary>The code of a weight.</summary>
    public float Code(float weight, int maxCode) => Math.Clamp(MathF.Round((weight - Minimum) / Step), 0, maxCode);

    /// <summary>Mean of |x - value|^2.4.</summary>
    /// <param name="group">x.</param>
    /// <param name="maxCode">The largest code.</param>
    /// <param name="shifted">As long as the group; receives x - m.</param>
    public float Score(ReadOnlySpan<float> group, int maxCode, Span<float> shifted)
    {
        for (int i = 0; i < group.Length; i++) shifted[i] = group[i] - Minimum;
        return GridScore.Mean(shifted, Step, 0, maxCode);
    }
}
