using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// Finds the parameters of Llama 3 scaling behind a table t_j = f_j / f'_j of divisors. With x = f / (2 pi) a number of the ramp is
/// <code>(1/t - 1/s) / (1 - 1/s) = (o x - low) / (high - low)</code>
/// which is a line in x: two numbers of the ramp give o / low and high / low, and nothing else of the three counts, so low is 1 where that makes o whole.
/// </summary>
internal static class Llama3Parameters
{
    // Tables are computed in 32-bit floats, by some converters throughout.
    private const double Tolerance = 1e-5, Rounding = 2e-7;

    private static readonly double[] LowFactors = [1, 2, 4, 0.5, 1.5, 3, 0.25, 8];

    /// <summary>The parameters that give the table.</summary>
    /// <param name="table">Divisors, positive.</param>
    /// <param name="theta">Base of the frequencies.</param>
    /// <param name="headSize">Rotated elements.</param>
    /// <param name="context">Positions of the original training where the file tells them; else 0.</param>
    /// <returns>Null when no parameters do.</returns>
    public static RopeConfig? Find(float[] table, double theta, int headSize, long context)
    {
        var plain = new RopeConfig { Theta = theta, RotatedSize = headSize };
        double[] frequencies = RopeFrequencies.Compute(plain, 1);
        double largest = table.Max();
        if (largest <= 1 || table.Any(value => value < 1 - Tolerance)) return null;
        RopeConfig? best = null;
        double least = Tolerance;
        foreach (double factor in Factors(largest))
        {
            foreach (RopeConfig candidate in Candidates(table, frequencies, plain with { Scaling = RopeScaling.Llama3, Factor = factor }, context))
            {
                if (candidate.HighFrequencyFactor <= candidate.LowFrequencyFactor) continue;
                double error = ErrorOf(candidate, table, frequencies);
                if (error > least) continue;
                (best, least) = (candidate, error);
                if (error <= Rounding) return best;
            }
        }
        return best;
    }

    // The largest divisor is the factor where any frequency is low enough; else the factor is a larger number, whole in every published model.
    private static IEnumerable<double> Factors(double largest) => new[] { largest, 2, 4, 8, 16, 32, 64 }.Where(factor => factor >= largest);

    private static IEnumerable<RopeConfig> Candidates(float[] table, double[] frequencies, RopeConfig rope, long context)
    {
        // What models are published with, the file's own context first.
        foreach (long original in new[] { context, 8192, 4096, 2048 })
        {
            if (original is > 0 and <= int.MaxValue) yield return rope with { OriginalMaxPositions = (int)original, LowFrequencyFactor = 1, HighFrequencyFactor = 4 };
        }
        List<(double X, double K)> ramp = Ramp(table, frequencies, rope.Factor);
        if (ramp.Count >= 2)
        {
            // The outer two have the least rounding in their difference.
            (double x0, double k0) = ramp[0];
            (double x1, double k1) = ramp[^1];
            double slope = (k1 - k0) / (x1 - x0), offset = k0 - (slope * x0);
            if (offset >= 0) yield break;
            // slope = o / (high - low), offset = -low / (high - low).
            foreach (RopeConfig found in Scaled(rope, slope / -offset, 1 - (1 / offset))) yield return found;
        }
        else if (ramp.Count == 1)
        {
            foreach (double high in new[] { 4.0, 2, 8, 3 })
            {
                foreach (RopeConfig found in Scaled(rope, (1 + (ramp[0].K * (high - 1))) / ramp[0].X, high)) yield return found;
            }
        }
        else if (Array.FindIndex(table, value => value > 1 + Tolerance) is > 0 and var first)
        {
            // A step between two wavelengths: any ramp that lies between them.
            double before = 2 * Math.PI / frequencies[first - 1], step = frequencies[first - 1] / frequencies[first];
            foreach (RopeConfig found in Scaled(rope, before * Math.Pow(step, 2 / 3.0), Math.Pow(step, 1 / 3.0))) yield return found;
        }
    }

    // original / low and high / low, with low such that original is whole; a low of many digits always does it.
    private static IEnumerable<RopeConfig> Scaled(RopeConfig rope, double original, double high)
    {
        foreach (double low in LowFactors)
        {
            double whole = Math.Round(original * low);
            if (whole is not (>= 1 and <= int.MaxValue)) continue;
            yield return rope with { OriginalMaxPositions = (int)whole, LowFrequencyFactor = low, HighFrequencyFactor = Nice(high * low) };
        }
        double nearest = Math.Round(original);
        if (nearest is >= 1 and <= int.MaxValue)
            yield return rope with { OriginalMaxPositions = (int)nearest, LowFrequencyFactor = nearest / original, HighFrequencyFactor = high * nearest / original };
    }

    private static double Nice(double value)
    {
        double rounded = Math.Round(value * 64) / 64;
        return Math.Abs(rounded - value) <= 1e-4 * value ? rounded : value;
    }

    private static List<(double X, double K)> Ramp(float[] table, double[] frequencies, double factor)
    {
        var ramp = new List<(double, double)>();
        for (int j = 0; j < table.Length; j++)
        {
            if (table[j] > 1 + Tolerance && table[j] < factor * (1 - Tolerance))
                ramp.Add((frequencies[j] / (2 * Math.PI), ((1.0 / table[j]) - (1 / factor)) / (1 - (1 / factor))));
        }
        return ramp;
    }

    // The largest, relative to the divisor.
    private static double ErrorOf(RopeConfig rope, float[] table, double[] frequencies)
    {
        double[] scaled = RopeFrequencies.Compute(rope, 1);
        return Enumerable.Range(0, table.Length).Max(j => Math.Abs((frequencies[j] / scaled[j] / table[j]) - 1));
    }
}
