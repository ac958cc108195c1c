using System.Globalization;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports.Charts;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>A comparison as one page that needs nothing else, in the markup and under the security policy of report.html: figures against bits, errors of block outputs, tables.</summary>
public static class ComparisonHtml
{
    /// <summary>Name of the file in an output folder.</summary>
    public const string FileName = "comparison.html";

    private const int MostCells = 2000, MostSchemes = 64, LongestName = 80;

    /// <summary>Writes the page.</summary>
    /// <param name="title">What was compared, such as the model's name.</param>
    /// <param name="cells">Figures by scheme and method, in the order of the page.</param>
    /// <param name="spell">How keys of recipes in backticks are spelled for the reader; null to leave them as they are.</param>
    public static string Of(string title, IReadOnlyList<CellResult> cells, Func<string, string>? spell = null)
    {
        cells = [.. cells.Take(MostCells)];
        var sheet = new Sheet("", 2, spell ?? (text => text));
        sheet.Part("figures", "Figures", () => Figures(sheet, cells));
        sheet.Part("errors", "Accumulated error of block outputs", () => Errors(sheet, [.. cells.Where(cell => cell.OutputErrors is { Count: > 0 })]));
        string[] methods = [.. cells.Select(cell => cell.Method).Distinct()], schemes = [.. cells.Select(cell => cell.Scheme).Distinct()];
        string lead = $"{string.Join(", ", methods.Take(12).Select(name => Figure.Short(name, LongestName)))} under {string.Join(", ", schemes.Take(12).Select(name => Figure.Short(name, LongestName)))}";
        return ReportHtml.Document($"{Figure.Short(title, 120)}, compared", lead, sheet, "the files in cells beside it");
    }

    private static void Figures(Sheet sheet, IReadOnlyList<CellResult> cells)
    {
        if (cells.Select(cell => cell.Source).OfType<string>().Distinct().ToArray() is [var one]) sheet.Say($"Measured on {Sheet.Bound(one, 200)}.", "soft");
        if (ComparisonTable.DataNote(cells) is { Length: > 0 } note) sheet.Say(note);
        sheet.Figures(() =>
        {
            Against(sheet, cells, "KL divergence", "KL divergence from the original, nats", cell => cell.Result?.KlDivergence);
            Against(sheet, cells, "Perplexity", "perplexity", cell => cell.Result?.Perplexity);
        });
        (string Name, EvaluationResult[] Seeds)[] seeds = SeedMeans.Rows(cells);
        if (seeds.Length > 0)
        {
            sheet.Heading("Means over seeds");
            sheet.Add(new Table("Means over seeds, with the spread that says which differences count.", [new("setting"), new("seeds"), new("perplexity"), new("KL, nats"), new("standard deviation"), new("least"), new("most")],
                [.. seeds.Select(row => (row.Name, row.Seeds, Divergences: row.Seeds.Select(seed => seed.KlDivergence!.Value).ToArray())).Select(row => new Cell[]
                {
                    Figure.Short(row.Name, LongestName), new($"{row.Seeds.Length}", row.Seeds.Length), Number(row.Seeds.Average(seed => seed.Perplexity)), Number(row.Divergences.Average()), Number(SeedMeans.Deviation(row.Divergences)),
                    Number(row.Divergences.Min()), Number(row.Divergences.Max()),
                })])
            { Sorts = true });
        }
        foreach (IGrouping<string, CellResult> scheme in cells.GroupBy(cell => cell.Scheme).Take(MostSchemes)) Scheme(sheet, scheme.Key, [.. scheme]);
    }

    private static void Scheme(Sheet sheet, string scheme, CellResult[] cells)
    {
        string name = Figure.Short(scheme, LongestName);
        sheet.Heading(name);
        List<Cell[]> rows = [];
        if (cells.FirstOrDefault(cell => cell.Original is not null)?.Original is { } original)
            rows.Add(["original", "", "", Value(original, "perplexity", original.Perplexity), "", "", "", "", ""]);
        rows.AddRange(cells.Where(cell => cell.Refusal is null).Select(cell => new Cell[]
        {
            Figure.Short(cell.Method, LongestName), Value(cell.Result, "klDivergence", cell.Result?.KlDivergence), new(Figure.Percent(cell.Result?.Top1Agreement, Error(cell.Result, "top1Agreement")), cell.Result?.Top1Agreement),
            Value(cell.Result, "perplexity", cell.Result?.Perplexity), new(Figure.Bits(cell.BitsPerWeight), cell.BitsPerWeight), new(Figure.Count(cell.LearnedParameters), cell.LearnedParameters),
            new(Figure.Count(cell.CalibrationTokens), cell.CalibrationTokens), new(Figure.Duration(cell.Seconds), cell.Seconds), new(cell.PeakMemoryBytes > 0 ? Figure.Bytes(cell.PeakMemoryBytes) : Figure.Absent, cell.PeakMemoryBytes),
        }));
        sheet.Add(new Table($"Results of {name}; ± is one standard error; time of all blocks, peak memory of a block.",
            [new("method"), new("KL, nats"), new("same top token"), new("perplexity"), new("bits per weight"), new("learned numbers"), new("tokens"), new("time"), new("peak memory")], rows)
        { Sorts = true });
        foreach (CellResult cell in cells.Where(cell => cell.Refusal is not null).Take(100)) sheet.Say($"{Figure.Short(cell.Method, LongestName)} is left out: {cell.Refusal}");
    }

    private static void Against(Sheet sheet, IReadOnlyList<CellResult> cells, string title, string up, Func<CellResult, double?> value)
    {
        ChartLine[] lines = [.. BitsChart.Lines(cells, value)];
        if (lines.Sum(line => line.Points.Count) < 2) return;
        sheet.Figure(id => LineChart.Draw(new ChartFrame($"{title} against stored bits", "stored bits per weight", $"{up} (logarithmic)") { Id = id, Height = 300 }, lines),
            $"{title} against stored bits", "Lower and further left is better; a line joins what one method does at several widths.", null);
    }

    private static void Errors(Sheet sheet, CellResult[] cells)
    {
        if (cells.Length == 0)
        {
            sheet.Say("Not measured: these runs gave no model that can be run, or had no text to measure on, or an earlier version made them.");
            return;
        }
        sheet.Say("Root mean square over tokens and channels of what the output of a block is off from the original's, everything in front of it quantized too. Solid: windows that methods learn from; dashed: text that none has seen.", "soft");
        sheet.Figures(() =>
        {
            foreach (IGrouping<string, CellResult> scheme in cells.GroupBy(cell => cell.Scheme).Take(MostSchemes))
            {
                string name = Figure.Short(scheme.Key, 40);
                sheet.Figure(id => LineChart.Draw(new ChartFrame($"Error of block outputs, {name}", "block", "RMSE of a block's output (logarithmic)") { Id = id, IsWhole = true, Height = 280 }, [.. BlockErrorChart.Lines([.. scheme])]),
                    name, "Texts differ by themselves; where dashed lies further above solid than it does for round to nearest, that much was learned by heart.", null);
            }
        });
        int last = cells.Max(cell => cell.OutputErrors!.Max(text => text.Rmse.Count)) - 1;
        int[] shown = [.. new[] { 0, last / 2, last }.Where(block => block >= 0).Distinct()];
        sheet.Add(new Table("Errors of the first, the middle and the last block.",
            [new("scheme"), new("method", IsWord: true), new("text", IsWord: true), new("windows"), .. shown.Select(block => new Column($"block {block + 1}"))],
            [.. cells.SelectMany(cell => cell.OutputErrors!.Take(16).Select(Cell[] (text) =>
            [
                Figure.Short(cell.Scheme, LongestName), Figure.Short(cell.Method, LongestName), $"{Figure.Short(text.Text, LongestName)}, {(text.IsCalibration ? "calibration" : "unseen")}",
                new(text.Windows.ToString(CultureInfo.InvariantCulture), text.Windows), .. shown.Select(block => Number(block < text.Rmse.Count ? text.Rmse[block] : null)),
            ]))])
        { Sorts = true });
    }

    private static Cell Number(double? value) => new(Figure.Number(value), value);

    private static Cell Value(EvaluationResult? figures, string metric, double? value) => new(Figure.WithError(value, Error(figures, metric)), value);

    private static double? Error(EvaluationResult? figures, string metric) => figures is not null && figures.StandardErrors.TryGetValue(metric, out double error) ? error : null;
}
