using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Means of a sweep over seeds on its page.</summary>
public class SeedMeansTests
{
    [Fact]
    public void RowsOfASeedAreAveragedWithTheirSpread()
    {
        string page = ComparisonTable.Of("sweep", [Cell("rank=4", "seed=1", 0.01), Cell("rank=8", "seed=1", 0.04), Cell("rank=4", "seed=2", 0.03), Cell("rank=8", "seed=2", 0.04)], [], []);
        // Deviation of .01 and .03 about .02: sqrt(2 x .01^2 / 1).
        Assert.Contains("| rank=4 | 2 | 10.000 | 0.02000 | 0.01414 | 0.01000 | 0.03000 |\n| rank=8 | 2 | 10.000 | 0.04000 | 0.00000 | 0.04000 | 0.04000 |", page, StringComparison.Ordinal);
        // The seed may be the first axis too.
        Assert.Contains("| rank=4 | 2 |", ComparisonTable.Of("sweep", [Cell("seed=1", "rank=4", 0.01), Cell("seed=2", "rank=4", 0.03)], [], []), StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutSeveralSeedsThereIsNone()
    {
        Assert.DoesNotContain("Means over seeds", ComparisonTable.Of("sweep", [Cell("rank=4", "seed=1", 0.01), Cell("rank=8", "seed=1", 0.04)], [], []), StringComparison.Ordinal);
        Assert.DoesNotContain("Means over seeds", ComparisonTable.Of("sweep", [Cell("rank=4", "lrq", 0.01), Cell("rank=8", "lrq", 0.04)], [], []), StringComparison.Ordinal);
    }

    private static CellResult Cell(string method, string scheme, double divergence) =>
        new() { Method = method, Scheme = scheme, Key = "", Result = new EvaluationResult { KlDivergence = divergence, Perplexity = 10 } };
}
