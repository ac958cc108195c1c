using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd.Sequences;

namespace LowRankQuant.Models.Decoder.Positions;

/// <summary>
/// Frequencies of a rotary embedding and its tables of angles. With r rotated elements, j = 0..r/2-1, base theta, factor s, original length o:
/// <code>
/// none     f_j = theta^(-2j/r)
/// linear   f_j / s
/// dynamic  M = max positions, n = max(T, M): f from theta (s n / M - (s - 1))^(r / (r - 2))
/// llama3   l = 2 pi / f: l &lt; o / high: f; l > o / low: f / s; else k = (o / l - low) / (high - low), (1 - k) f / s + k f
/// longrope f_j / short_j for T up to o, f_j / long_j beyond
/// proportional  f_j for the first pairs, 0 for the others
/// table    f_j / divisor_j
/// yarn     e(b) = r ln(o / (2 pi b)) / (2 ln theta), ramp g_j from e(betaFast) to e(betaSlow): g f / s + (1 - g) f
/// </code>
/// </summary>
public static class RopeFrequencies
{
    /// <summary>The frequencies for a sequence of <paramref name="length"/> positions.</summary>
    public static double[] Compute(RopeConfig rope, int length)
    {
        double theta = rope.Theta;
        int r = rope.RotatedSize;
        if (rope.Scaling == RopeScaling.Dynamic)
        {
            double s = rope.Factor, m = rope.MaxPositions, n = Math.Max(length, m);
            theta *= Math.Pow((s * n / m) - (s - 1), r / (r - 2.0));
        }
        var f = new double[r / 2];
        for (int j = 0; j < f.Length; j++) f[j] = Math.Pow(theta, -2.0 * j / r);
        switch (rope.Scaling)
        {
            case RopeScaling.Linear:
                for (int j = 0; j < f.Length; j++) f[j] /= rope.Factor;
                break;
            case RopeScaling.Table:
                for (int j = 0; j < f.Length; j++) f[j] /= rope.Divisors[j];
                break;
            case RopeScaling.LongRope:
                IReadOnlyList<float> factors = IsLong(rope, length) ? rope.LongFactors : rope.ShortFactors;
                for (int j = 0; j < f.Length; j++) f[j] /= factors[j];
                break;
            case RopeScaling.Proportional:
                for (int j = rope.RotatingPairs; j < f.Length; j++) f[j] = 0;
                break;
            case RopeScaling.Llama3:
                for (int j = 0; j < f.Length; j++) f[j] = Llama3(f[j], rope);
                break;
            case RopeScaling.Yarn:
                Yarn(f, rope);
                break;
        }
        return f;
    }

    /// <summary>Whether a sequence is beyond the original length, so that LongRoPE's other list counts.</summary>
    public static bool IsLong(RopeConfig rope, int length) => rope.Scaling == RopeScaling.LongRope && length > rope.OriginalMaxPositions;

    /// <summary>
    /// What cosines and sines are multiplied by in a sequence of <paramref name="length"/>: 1 but for YaRN and LongRoPE, whose factor is its own for each list, or
    /// sqrt(1 + ln s / ln o) for both.
    /// </summary>
    public static double AttentionFactor(RopeConfig rope, int length = 0)
    {
        if (rope.Scaling == RopeScaling.LongRope)
        {
            if ((IsLong(rope, length) ? rope.LongMScale : rope.ShortMScale) is { } scale) return scale;
            return rope.AttentionFactor ?? (rope.Factor <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(rope.Factor) / Math.Log(rope.OriginalMaxPositions))));
        }
        if (rope.Scaling != RopeScaling.Yarn) return 1;
        if (rope.AttentionFactor is { } given) return given;
        if (rope.MScale is { } own and not 0 && rope.MScaleAllDim is { } all and not 0) return Temperature(rope, own) / Temperature(rope, all);
        return Temperature(rope, 1);
    }

    /// <summary>m(c) = 0.1 c ln s + 1 of YaRN with the factor s; 1 where nothing is stretched.</summary>
    public static double Temperature(RopeConfig rope, double c) => rope.Factor <= 1 ? 1 : (0.1 * c * Math.Log(rope.Factor)) + 1;

    /// <summary>Tables of positions 0..<paramref name="length"/> - 1; angles in double precision.</summary>
    public static RotaryAngles BuildAngles(Device device, RopeConfig rope, int length)
    {
        double[] f = Compute(rope, length);
        double factor = AttentionFactor(rope, length);
        var cosine = new float[length * f.Length];
        var sine = new float[length * f.Length];
        for (int p = 0; p < length; p++)
        {
            for (int j = 0; j < f.Length; j++)
            {
                (double sin, double cos) = Math.SinCos(p * f[j]);
                cosine[(p * f.Length) + j] = (float)(cos * factor);
                sine[(p * f.Length) + j] = (float)(sin * factor);
            }
        }
        return new RotaryAngles(device.From(cosine, length, f.Length), device.From(sine, length, f.Length), rope.Interleaved);
    }

    private static double Llama3(double f, RopeConfig rope)
    {
        double wavelength = 2 * Math.PI / f, o = rope.OriginalMaxPositions;
        if (wavelength < o / rope.HighFrequencyFactor) return f;
        if (wavelength > o / rope.LowFrequencyFactor) return f / rope.Factor;
        double k = ((o / wavelength) - rope.LowFrequencyFactor) / (rope.HighFrequencyFactor - rope.LowFrequencyFactor);
        return ((1 - k) * f / rope.Factor) + (k * f);
    }

    private static void Yarn(double[] f, RopeConfig rope)
    {
        int r = rope.RotatedSize;
        double lo = Edge(rope.BetaFast), hi = Edge(rope.BetaSlow);
        if (rope.Truncate) (lo, hi) = (Math.Floor(lo), Math.Ceiling(hi));
        lo = Math.Max(lo, 0);
        hi = Math.Min(hi, r - 1);
        if (lo == hi) hi += 0.001;
        for (int j = 0; j < f.Length; j++)
        {
            double g = Math.Clamp((j - lo) / (hi - lo), 0, 1);
            f[j] = (g * f[j] / rope.Factor) + ((1 - g) * f[j]);
        }

        double Edge(double rotations) => r * Math.Log(rope.OriginalMaxPositions / (2 * Math.PI * rotations)) / (2 * Math.Log(rope.Theta));
    }
}
