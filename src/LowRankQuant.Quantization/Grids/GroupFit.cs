using System.Numerics;

namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// Step s and minimum a of one group x with importance v, before both become integers times a block's scale: value s q - a,
/// q = clamp(round((x + a) / s), low, high). A symmetric group has a = 0 and a step of either sign, as its codes reach further down than up.
/// </summary>
/// <param name="Step">s; 0 where the group holds nothing but zeros.</param>
/// <param name="Minimum">a; not negative.</param>
internal readonly record struct GroupFit(float Step, float Minimum)
{
    private const int Shrinks = 24;
    private const float FirstShrink = 0.75f;
    private const float ShrinkStep = 0.05f;
    private const int Passes = 3;

    /// <summary>The range of a group, widened to hold 0.</summary>
    public static GroupFit FromRange(ReadOnlySpan<float> x, float low, float high)
    {
        float min = 0, max = 0;
        foreach (float value in x)
        {
            if (!float.IsFinite(value)) throw new ArgumentOutOfRangeException(nameof(x), value, "A weight is not finite.");
            min = Math.Min(min, value);
            max = Math.Max(max, value);
        }
        if (low == 0) return new GroupFit((max - min) / high, -min);
        // The side with the largest magnitude gets the longer half of the codes.
        return -min > max ? new GroupFit(min / low, 0) : new GroupFit(max / low, 0);
    }

    /// <summary>The best of several shrunk ranges, each improved by least squares over the codes that it gives; the first when none is better.</summary>
    /// <param name="x">The group.</param>
    /// <param name="v">Importance.</param>
    /// <param name="low">The smallest q; 0 when the group has a minimum.</param>
    /// <param name="high">The largest q.</param>
    public GroupFit Refine(ReadOnlySpan<float> x, ReadOnlySpan<float> v, float low, float high)
    {
        if (Step == 0) return this;
        GroupFit best = this;
        double bestError = Error(x, v, low, high, double.PositiveInfinity);
        for (int shrink = 0; shrink < Shrinks; shrink++)
        {
            float factor = FirstShrink + (ShrinkStep * shrink);
            Try(this with { Step = Step / factor }, x, v, ref best, ref bestError);
            if (low != 0) Try(this with { Step = -Step / factor }, x, v, ref best, ref bestError);
        }
        return best;

        void Try(GroupFit fit, ReadOnlySpan<float> x, ReadOnlySpan<float> v, ref GroupFit best, ref double bestError)
        {
            for (int pass = 0; pass < Passes; pass++)
            {
                fit = fit.Moments(x, v, low, high).Solve(fit, hasMinimum: low == 0);
                double error = fit.Error(x, v, low, high, bestError);
                if (!(error < bestError)) break;
                best = fit;
                bestError = error;
            }
        }
    }

    /// <summary>Sum of v (s q - a - x)^2; any number of at least <paramref name="limit"/> once the sum has reached it.</summary>
    public double Error(ReadOnlySpan<float> x, ReadOnlySpan<float> v, float low, float high, double limit)
    {
        var step = new Vector<float>(Step);
        var minimum = new Vector<float>(Minimum);
        Vector<float> inverse = Vector<float>.One / step, lowest = new(low), highest = new(high), sum = Vector<float>.Zero;
        for (int i = 0; i < x.Length; i += Vector<float>.Count)
        {
            Vector<float> shifted = new Vector<float>(x[i..]) + minimum;
            Vector<float> q = Vector.Min(Vector.Max(Vector.Round(shifted * inverse), lowest), highest);
            Vector<float> error = (q * step) - shifted;
            sum += new Vector<float>(v[i..]) * error * error;
            if (i + Vector<float>.Count < x.Length && Vector.Sum(sum) >= limit) break;
        }
        return Vector.Sum(sum);
    }

    /// <summary>The sums that least squares needs, for the codes of this fit.</summary>
    public CodeMoments Moments(ReadOnlySpan<float> x, ReadOnlySpan<float> v, float low, float high)
    {
        Vector<float> one = Vector<float>.Zero, code = one, codeCode = one, value = one, valueCode = one;
        Vector<float> inverse = new(1 / Step), minimum = new(Minimum), lowest = new(low), highest = new(high);
        for (int i = 0; i < x.Length; i += Vector<float>.Count)
        {
            Vector<float> weight = new(v[i..]), here = new(x[i..]);
            Vector<float> q = Vector.Min(Vector.Max(Vector.Round((here + minimum) * inverse), lowest), highest);
            Vector<float> weightedCode = weight * q;
            one += weight;
            code += weightedCode;
            codeCode += weightedCode * q;
            value += weight * here;
            valueCode += weightedCode * here;
        }
        return new CodeMoments(Vector.Sum(one), Vector.Sum(code), Vector.Sum(codeCode), Vector.Sum(value), Vector.Sum(valueCode));
    }
}

/// <summary>Weighted sums over a group of codes q and values x.</summary>
/// <param name="One">Sum of v.</param>
/// <param name="Code">Sum of v q.</param>
/// <param name="CodeCode">Sum of v q^2.</param>
/// <param name="Value">Sum of v x.</param>
/// <param name="ValueCode">Sum of v x q.</param>
internal readonly record struct CodeMoments(float One, float Code, float CodeCode, float Value, float ValueCode)
{
    /// <summary>Step and minimum with the least squared error for the codes; <paramref name="fallback"/> where they do not determine them.</summary>
    /// <param name="fallback">The fit that gave the codes.</param>
    /// <param name="hasMinimum">Whether the group has a minimum; it is kept at or above 0.</param>
    public GroupFit Solve(GroupFit fallback, bool hasMinimum)
    {
        double determinant = ((double)One * CodeCode) - ((double)Code * Code);
        double step = (((double)One * ValueCode) - ((double)Value * Code)) / determinant;
        double minimum = (((double)Code * ValueCode) - ((double)CodeCode * Value)) / determinant;
        if (!hasMinimum || !(minimum > 0)) (step, minimum) = ((double)ValueCode / CodeCode, 0);
        bool sound = double.IsFinite(step) && step != 0 && (!hasMinimum || step > 0);
        return sound ? new GroupFit((float)step, (float)minimum) : fallback;
    }
}
