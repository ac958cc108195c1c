namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// How the elements of a branch's factor become 8-bit codes or 16-bit floats. The vectors of a factor are the rows of A and the columns of B:
/// <code>
/// 8 bits    s = max|v| / 127, rounded to 16 bits;  code = round(v / s), -127..127;  value code s, exact in 32-bit floats
/// 16 bits   every element rounded
/// </code>
/// The 16-bit type is IEEE half, or bfloat16 for a factor that halves cannot hold: scales or elements below its normal numbers lose digits and at last
/// vanish, and the term with them.
/// </summary>
public static class FactorScale
{
    /// <summary>The largest code.</summary>
    public const int MaxCode = 127;

    private const double SmallestHalf = 6.103515625e-05, LargestHalf = 65504, SmallestBFloat = 1.1754943508222875e-38;

    /// <summary>The type of the scales of a factor in 8 bits: half where every vector's largest element gets the largest code with it, else bfloat16.</summary>
    /// <param name="largest">The largest magnitude of every vector.</param>
    public static ScaleType TypeFor(ReadOnlySpan<double> largest)
    {
        foreach (double magnitude in largest)
        {
            if (magnitude > 0 && !HalfServes(magnitude)) return ScaleType.BFloat16;
        }
        return ScaleType.Float16;
    }

    /// <summary>The scale of a vector as stored; 0 for a vector of zeros.</summary>
    /// <param name="largest">Its largest magnitude.</param>
    /// <param name="type">Half or bfloat16.</param>
    public static double Round(double largest, ScaleType type)
    {
        double scale = largest / MaxCode;
        if (type == ScaleType.Float16) return (double)(Half)scale;
        return scale > 0 ? Math.Max(BFloat16.ToSingle(BFloat16.FromSingle((float)scale)), SmallestBFloat) : scale;
    }

    /// <summary>The type of the elements of a factor in 16 bits: half unless all of them lie below its normal numbers, or one beyond its largest.</summary>
    /// <param name="largest">The largest magnitude of the factor.</param>
    public static ScaleType ElementTypeFor(double largest) => largest is > 0 and < SmallestHalf or > LargestHalf ? ScaleType.BFloat16 : ScaleType.Float16;

    private static bool HalfServes(double largest)
    {
        double scale = (double)(Half)(largest / MaxCode);
        return scale > 0 && double.IsFinite(scale) && Math.Round(largest / scale) == MaxCode;
    }
}
