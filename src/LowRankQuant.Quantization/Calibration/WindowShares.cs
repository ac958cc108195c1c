namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// Deals windows out to texts by weight: each goes to the text that is furthest behind its share, the first of those that are equally far. So every beginning of
/// the windows, not only all of them, is as near to the weights as whole windows can be, and no chance is in it.
/// </summary>
internal static class WindowShares
{
    // Texts that are equally far behind but for rounding.
    private const double Tie = 1e-9;

    /// <summary>The text that each window comes from.</summary>
    /// <param name="weights">Weights, more than 0; only their ratios count.</param>
    /// <param name="windows">How many windows.</param>
    /// <returns>Numbers of texts, [windows].</returns>
    public static int[] Deal(IReadOnlyList<double> weights, int windows)
    {
        double sum = weights.Sum();
        var given = new int[weights.Count];
        var order = new int[windows];
        for (int w = 0; w < windows; w++)
        {
            int next = 0;
            double furthest = double.NegativeInfinity;
            for (int i = 0; i < given.Length; i++)
            {
                double behind = ((w + 1) * (weights[i] / sum)) - given[i];
                if (behind <= furthest + Tie) continue;
                (furthest, next) = (behind, i);
            }
            given[next]++;
            order[w] = next;
        }
        return order;
    }

    /// <summary>How many of the windows each text gives.</summary>
    public static int[] Count(int[] order, int texts)
    {
        var counts = new int[texts];
        foreach (int text in order) counts[text]++;
        return counts;
    }
}

/// <summary>What one of several weighted texts gave.</summary>
/// <param name="Name">The text as it was named.</param>
/// <param name="Weight">Its weight, the sum of all being 1.</param>
/// <param name="Windows">Windows to calibrate on.</param>
/// <param name="HeldOut">Windows kept aside.</param>
/// <param name="More">Windows beyond these.</param>
public sealed record CalibrationShare(string Name, double Weight, int Windows, int HeldOut, int More)
{
    /// <summary>In words.</summary>
    public string Describe() => FormattableString.Invariant($"{Name} {Weight:0.###}: {Windows}{(HeldOut > 0 ? FormattableString.Invariant($" + {HeldOut} held-out") : "")}{(More > 0 ? FormattableString.Invariant($" + {More} to tune on") : "")}");
}
