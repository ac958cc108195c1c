using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Tests.Reports;

/// <summary>comparison.html: what stands in it, that it is always the same, and that no name can become markup.</summary>
public sealed class ComparisonHtmlTests
{
    [Fact]
    public void APageHasFiguresErrorsAndWhatWasLeftOut()
    {
        string page = ComparisonHtml.Of("Qwen3-0.6B", SampleCells.Many());
        ReportHtmlTests.Sound(page);
        Assert.Equal(page, ComparisonHtml.Of("Qwen3-0.6B", SampleCells.Many()));
        foreach (string part in new[]
        {
            "KL divergence against stored bits", "Perplexity against stored bits", ">w2a16-g64</h3>", "Error of block outputs, w3a16-g128", "c4.jsonl, calibration", "wikitext-2-test.txt, unseen",
            "autoround is left out: method autoround works on uniform grids alone", "All methods that look at text look at the same windows", "those of the files in cells beside it",
        }) Assert.Contains(part, page, StringComparison.Ordinal);
        Assert.DoesNotContain("Means over seeds", page, StringComparison.Ordinal);
        // Three pictures of errors of four methods, each on two texts, one of them dashed.
        Assert.Equal(3 * 4, page.Split("<polyline").Count(line => line.Contains(" dashed\"/>", StringComparison.Ordinal)));
    }

    [Fact]
    public void WhatWasNotMeasuredIsSaid()
    {
        string page = ComparisonHtml.Of("m", [SampleCells.Cell("rtn", "w3", 3, 0.1, 2) with { OutputErrors = null, Result = null, Original = null, BitsPerWeight = null }]);
        ReportHtmlTests.Sound(page);
        Assert.Contains("Not measured: these runs gave no model", page, StringComparison.Ordinal);
        ReportHtmlTests.Sound(ComparisonHtml.Of("m", []));
    }

    [Fact]
    public void SeedsHaveMeans()
    {
        string page = ComparisonHtml.Of("m", [.. Enumerable.Range(1, 3).Select(seed => SampleCells.Cell($"seed={seed}", "rank=8", 3, 0.1 * seed, 2))]);
        Assert.Contains("Means over seeds", page, StringComparison.Ordinal);
        Assert.Contains("0.1000</td>", page, StringComparison.Ordinal);
    }

    [Fact]
    public void NamesStayTexts()
    {
        const string Attack = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'`\u202e";
        string page = ComparisonHtml.Of(Attack, [SampleCells.Cell(Attack, Attack, 3, double.NaN, 3) with { Source = Attack }, SampleCells.Cell("a", Attack, double.PositiveInfinity, 0.1, 0), new CellResult { Method = Attack, Scheme = Attack, Key = Attack, Refusal = Attack }]);
        ReportHtmlTests.Sound(page);
        Assert.Single(page.Split("<script").Skip(1));
        Assert.DoesNotContain("<img", page, StringComparison.Ordinal);
        Assert.DoesNotContain('\u202e', page);
    }
}
