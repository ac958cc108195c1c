using System.Text.Json.Serialization;

namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>How a figure differs from the reference's on the same items.</summary>
/// <param name="Difference">The model's figure minus the reference's.</param>
/// <param name="StandardError">Standard error of the difference, item by item: much less than from the errors of both.</param>
/// <param name="Reference">The reference's figure on these items.</param>
/// <param name="Items">Items that both have.</param>
public sealed record PairedMetric(double Difference, double? StandardError, double Reference, int Items)
{
    /// <summary>Items that the model has right and the reference wrong.</summary>
    public int? Better { get; init; }

    /// <summary>Items that the model has wrong and the reference right.</summary>
    public int? Worse { get; init; }

    /// <summary>Probability of a difference at least as large if both were equally good: the exact test of McNemar, two-sided.</summary>
    public double? PValue { get; init; }

    /// <summary>Items that both were asked and that are not among <see cref="Items"/>, as their number is not finite; null where there are none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? LeftOut { get; init; }

    /// <summary>The model's figure in percent of the reference's.</summary>
    public double? RecoveryPercent { get; init; }

    /// <summary>Two-sided sign test: <paramref name="better"/> of all differing items, each with probability one half.</summary>
    internal static double SignTest(int better, int worse)
    {
        int n = better + worse, few = Math.Min(better, worse);
        double logTerm = -n * Math.Log(2), tail = 0;
        for (int k = 0; k <= few; k++)
        {
            tail += Math.Exp(logTerm);
            logTerm += Math.Log(n - k) - Math.Log(k + 1);
        }
        return Math.Min(1, 2 * tail);
    }
}
