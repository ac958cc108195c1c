namespace LowRankQuant.Formats.SmallFloats;

/// <summary>
/// What rounding to levels loses where a number may be anywhere within its level's cell, which ends half-way to the neighbours: its mean squared error
/// ((b - L)^3 + (L - a)^3) / (3 (b - a)) for a level L with the cell [a, b]. The outermost cells end at their levels.
/// </summary>
public static class LevelCells
{
    /// <summary>The mean squared error of every code; 0 for one that stands for no number.</summary>
    /// <param name="levels">The value of every code.</param>
    public static double[] Errors(ReadOnlySpan<float> levels)
    {
        // Minus zero is zero.
        float[] sorted = [.. levels.ToArray().Where(float.IsFinite).Select(level => level + 0f).Distinct().Order()];
        var errors = new double[levels.Length];
        for (int code = 0; code < errors.Length; code++)
        {
            if (!float.IsFinite(levels[code])) continue;
            int at = Array.BinarySearch(sorted, levels[code] + 0f);
            double below = at == 0 ? 0 : (sorted[at] - (double)sorted[at - 1]) / 2, above = at == sorted.Length - 1 ? 0 : (sorted[at + 1] - (double)sorted[at]) / 2;
            errors[code] = (Math.Pow(above, 3) + Math.Pow(below, 3)) / (3 * (above + below));
        }
        return errors;
    }
}

/// <summary>What rounding lost of a weight, as sums of squares.</summary>
public struct RoundingLoss
{
    private double _lost, _kept;

    /// <summary>Adds a value and the mean squared error of its cell.</summary>
    public void Add(double value, double squaredError)
    {
        _kept += value * value;
        _lost += squaredError;
    }

    /// <summary>The root mean square of what was lost, relative to what is there; 0 for nothing.</summary>
    public readonly double Relative => _kept > 0 ? Math.Sqrt(_lost / _kept) : 0;
}
