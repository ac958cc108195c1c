using System.Numerics;
using System.Runtime.InteropServices;

namespace LowRankQuant.Quantization.Grids;

/// <summary>What a grid search minimises: the mean of |w - q s|^2.4 with q = clamp(round(w / s), -z, maxCode - z).</summary>
internal static class GridScore
{
    private const float Power = 2.4f;

    // Vectors between two looks at the limit.
    private const int Stride = 8;

    // Squares are taken with 1 / s instead of a division, which moves an error by 3e-5 of a step at the most.
    private const double Margin = 1.001;

    /// <summary>The score of a candidate.</summary>
    public static float Mean(ReadOnlySpan<float> line, float step, int zero, int maxCode)
    {
        var s = new Vector<float>(step);
        var low = new Vector<float>(-zero);
        var high = new Vector<float>(maxCode - zero);
        var sum = Vector<double>.Zero;
        int i = 0;
        for (; i <= line.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var w = new Vector<float>(line[i..]);
            Vector<float> q = Vector.Min(Vector.Max(Vector.Round(w / s), low), high);
            Vector<float> error = Vector.Abs(w - (q * s));
            // |e|^2.4 = exp(2.4 ln |e|); the logarithm of 0 is minus infinity and its power 0.
            Vector<float> power = Vector.Exp(Power * Vector.Log(error));
            Vector.Widen(power, out Vector<double> lower, out Vector<double> upper);
            sum += lower + upper;
        }
        double total = Vector.Sum(sum);
        for (; i < line.Length; i++)
        {
            float q = Math.Clamp(MathF.Round(line[i] / step), -zero, maxCode - zero);
            total += Math.Pow(Math.Abs(line[i] - (q * step)), Power);
        }
        return (float)(total / line.Length);
    }

    /// <summary>
    /// The sum of squared errors above which a score is certainly above <paramref name="score"/>: by Jensen's inequality
    /// mean |e|^2.4 >= (mean e^2)^1.2, and squares cost a fifth of powers.
    /// </summary>
    public static double SquareLimit(float score, int length) =>
        length * Math.Pow(Math.Max(score, MinNormal), 2 / Power) * Margin;

    /// <summary>Whether the squared errors of a candidate add up to more than <paramref name="squareLimit"/>; stops reading as soon as they do.</summary>
    public static bool Exceeds(double squareLimit, ReadOnlySpan<float> line, float step, int zero, int maxCode)
    {
        var s = new Vector<float>(step);
        var inverse = new Vector<float>(1 / step);
        var low = new Vector<float>(-zero);
        var high = new Vector<float>(maxCode - zero);
        ref float first = ref MemoryMarshal.GetReference(line);
        double total = 0;
        // What does not fill a stride is left out: a part of the sum is a lower bound as well.
        for (int i = 0; i <= line.Length - (Stride * Vector<float>.Count);)
        {
            Vector<float> sum = Vector<float>.Zero;
            for (int j = 0; j < Stride; j++, i += Vector<float>.Count)
            {
                Vector<float> w = Vector.LoadUnsafe(ref first, (nuint)i);
                Vector<float> error = w - (Vector.Min(Vector.Max(Vector.Round(w * inverse), low), high) * s);
                sum += error * error;
            }
            total += Vector.Sum(sum);
            if (total > squareLimit) return true;
        }
        return false;
    }

    // Smaller scores may have been rounded down to 0.
    private const float MinNormal = 1.17549435e-38f;
}
