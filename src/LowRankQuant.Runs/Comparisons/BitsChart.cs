using System.Globalization;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>A figure against stored bits per weight, a line per method, as SVG; the figure on a logarithmic scale. Hovering over a point names it.</summary>
public static class BitsChart
{
    /// <summary>Draws it.</summary>
    /// <param name="title">What is drawn.</param>
    /// <param name="cells">Figures; those without, or without bits, are left out.</param>
    /// <param name="value">The figure; above 0.</param>
    public static string Draw(string title, IReadOnlyList<CellResult> cells, Func<CellResult, double?> value) =>
        LineChart.Draw(new ChartFrame(title, "stored bits per weight", title) { Width = 720, Height = 440 }, [.. Lines(cells, value)]).ToString();

    /// <summary>The figures as lines.</summary>
    /// <inheritdoc cref="Draw"/>
    internal static IEnumerable<ChartLine> Lines(IReadOnlyList<CellResult> cells, Func<CellResult, double?> value) => cells.Where(cell => cell.BitsPerWeight is not null && value(cell) is > 0).GroupBy(cell => cell.Method)
            .Select(method => new ChartLine(method.Key, [.. method.Select(cell => Point(cell, cell.BitsPerWeight!.Value, value(cell)!.Value)).OrderBy(point => point.X)]));

    private static ChartPoint Point(CellResult cell, double bits, double figure) =>
        new(bits, figure, string.Create(CultureInfo.InvariantCulture, $"{cell.Method}, {cell.Scheme}: {figure:G4} at {bits:0.000} bits"));
}
