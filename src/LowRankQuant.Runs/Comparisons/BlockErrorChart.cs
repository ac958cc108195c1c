using System.Globalization;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>Accumulated errors of block outputs by block as SVG, a line per method: solid on calibration windows, dashed on texts that no method has seen.</summary>
public static class BlockErrorChart
{
    /// <summary>Name of a scheme's picture in an output folder.</summary>
    public static string FileName(string scheme) => $"rmse-{ComparisonCell.FileNameOf(scheme)}.svg";

    /// <summary>Draws the cells of a scheme.</summary>
    /// <param name="scheme">The scheme.</param>
    /// <param name="cells">Its cells; those without such errors are left out.</param>
    public static string Draw(string scheme, IReadOnlyList<CellResult> cells)
    {
        string title = $"RMSE of block outputs, {scheme} (solid: calibration text, dashed: unseen)";
        return LineChart.Draw(new ChartFrame(title, "block", title) { IsWhole = true, Width = 720, Height = 440 }, [.. Lines(cells)]).ToString();
    }

    /// <summary>The errors as lines.</summary>
    /// <param name="cells">Cells of a scheme.</param>
    internal static IEnumerable<ChartLine> Lines(IReadOnlyList<CellResult> cells) =>
        cells.SelectMany(cell => (cell.OutputErrors ?? []).Select(text => new ChartLine(cell.Method, [.. Points(cell, text)], IsDashed: !text.IsCalibration)));

    private static IEnumerable<ChartPoint> Points(CellResult cell, BlockErrors text) => text.Rmse
        .Select((error, i) => new ChartPoint(i + 1, error, string.Create(CultureInfo.InvariantCulture, $"{cell.Method}, {text.Text}: {error:G4} behind block {i + 1}")));
}
