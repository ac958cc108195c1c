using System.Globalization;
using System.Text;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>Where a sweep varies the seed, the mean over seeds of everything else that it varies, with the spread that says which differences count.</summary>
internal static class SeedMeans
{
    private const string Axis = "seed=";

    /// <summary>The part of the page; empty where no seed is varied.</summary>
    public static string Of(IReadOnlyList<CellResult> cells)
    {
        (string Name, EvaluationResult[] Seeds)[] rows = Rows(cells);
        if (rows.Length == 0) return "";
        var page = new StringBuilder("## Means over seeds\n\n| | seeds | perplexity | KL | standard deviation | least | most |\n|---|---:|---:|---:|---:|---:|---:|\n");
        foreach ((string name, EvaluationResult[] seeds) in rows)
        {
            double[] divergences = [.. seeds.Select(seed => seed.KlDivergence!.Value)];
            page.Append(CultureInfo.InvariantCulture, $"| {MarkdownText.Of(name)} | {seeds.Length} | {seeds.Average(seed => seed.Perplexity):0.000} | {divergences.Average():0.00000} | {(Deviation(divergences) is { } spread ? spread.ToString("0.00000", CultureInfo.InvariantCulture) : "")} | {divergences.Min():0.00000} | {divergences.Max():0.00000} |\n");
        }
        return page.Append('\n').ToString();
    }

    /// <summary>Every setting with the figures of its seeds; none where no seed is varied.</summary>
    public static (string Name, EvaluationResult[] Seeds)[] Rows(IReadOnlyList<CellResult> cells)
    {
        CellResult[] measured = [.. cells.Where(cell => cell.Result?.KlDivergence is not null && Other(cell) is not null)];
        (string Name, EvaluationResult[] Seeds)[] rows = [.. measured.GroupBy(cell => Other(cell)!).Select(row => (row.Key, row.Select(cell => cell.Result!).ToArray()))];
        return rows.Any(row => row.Seeds.Length > 1) ? rows : [];
    }

    // What a cell is called beside its seed; null where it names none.
    private static string? Other(CellResult cell) =>
        cell.Scheme.StartsWith(Axis, StringComparison.Ordinal) ? cell.Method : cell.Method.StartsWith(Axis, StringComparison.Ordinal) ? cell.Scheme : null;

    /// <summary>The standard deviation of a sample; null of one value.</summary>
    public static double? Deviation(double[] values)
    {
        if (values.Length < 2) return null;
        double mean = values.Average();
        return Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Length - 1));
    }
}
