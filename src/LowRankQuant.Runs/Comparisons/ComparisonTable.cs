using System.Globalization;
using System.Text;
using System.Text.Json;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>A comparison as a Markdown page: a table per scheme, the methods in the order asked for.</summary>
public static class ComparisonTable
{
    /// <summary>Name of the file in an output folder.</summary>
    public const string FileName = "comparison.md";

    /// <summary>Writes the page.</summary>
    /// <param name="title">What was compared, such as the model's name.</param>
    /// <param name="cells">Figures by scheme and method, in the order of the page.</param>
    /// <param name="pictures">Files of pictures to show at the end.</param>
    /// <param name="layers">Files of pictures of layers, by what they are called, to link to.</param>
    public static string Of(string title, IReadOnlyList<CellResult> cells, IReadOnlyList<string> pictures, IReadOnlyList<(string Name, string File)> layers)
    {
        var page = new StringBuilder();
        page.Append("# ").Append(MarkdownText.Of(title)).Append("\n\n");
        if (cells.Select(cell => cell.Source).OfType<string>().Distinct().ToArray() is [var one]) page.Append("Measured on ").Append(MarkdownText.Of(one)).Append(".\n\n");
        if (DataNote(cells) is { Length: > 0 } note) page.Append(note).Append("\n\n");
        page.Append(SeedMeans.Of(cells));
        foreach (IGrouping<string, CellResult> scheme in cells.GroupBy(cell => cell.Scheme))
        {
            page.Append("## ").Append(MarkdownText.Of(scheme.Key)).Append("\n\n");
            double? least = scheme.Select(cell => cell.BitsPerWeight).Min();
            page.Append("| method | perplexity | KL | top 1 | bits per weight | learned numbers | tokens | time of blocks | peak of a block |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
            if (scheme.FirstOrDefault(cell => cell.Original is not null)?.Original is { } original) Line(page, $"| original | {original.Perplexity:0.000} | | | | | | | |");
            foreach (CellResult cell in scheme.Where(cell => cell.Refusal is null))
            {
                string more = cell.BitsPerWeight > least + 0.005 ? " (more)" : "";
                Line(page, $"| {MarkdownText.Of(cell.Method)} | {cell.Result?.Perplexity:0.000} | {WithError(cell, "klDivergence", cell.Result?.KlDivergence)} | {100 * cell.Result?.Top1Agreement:0.00} % | {cell.BitsPerWeight:0.000}{more} | {cell.LearnedParameters} | {cell.CalibrationTokens} | {cell.Seconds:0} s | {cell.PeakMemoryBytes / 1048576.0:0} MiB |");
            }
            page.Append('\n');
            foreach (CellResult cell in scheme.Where(cell => cell.Refusal is not null)) page.Append("* ").Append(MarkdownText.Of(cell.Method)).Append(" is left out: ").Append(MarkdownText.Of(cell.Refusal)).Append('\n');
            if (scheme.Any(cell => cell.Refusal is not null)) page.Append('\n');
        }
        Errors(page, [.. cells.Where(cell => cell.OutputErrors is { Count: > 0 })]);
        if (layers.Count > 0)
            page.Append("## Layers\n\nBits, rank, amax and output error of every layer: ").AppendJoin(", ", layers.Select(picture => $"[{MarkdownText.Of(picture.Name)}]({picture.File})")).Append(".\n\n");
        foreach (string picture in pictures) page.Append("![](").Append(picture).Append(")\n\n");
        return page.ToString();
    }

    /// <summary>Whether all methods look at the same text, as a sentence; empty where none looks at any.</summary>
    internal static string DataNote(IReadOnlyList<CellResult> cells) => cells.Select(cell => cell.CalibrationHash).OfType<string>().Distinct().Count() switch
    {
        0 => "",
        1 => "All methods that look at text look at the same windows.",
        _ => "Not all methods look at the same windows: see their tokens.",
    };

    /// <summary>The figures as JSON.</summary>
    public static string Json(IReadOnlyList<CellResult> cells) => JsonSerializer.Serialize(cells, ComparisonJson.Default.IReadOnlyListCellResult);

    private static void Errors(StringBuilder page, IReadOnlyList<CellResult> cells)
    {
        if (cells.Count == 0) return;
        int last = cells.Max(cell => cell.OutputErrors!.Max(text => text.Rmse.Count)) - 1;
        int[] shown = [.. new[] { 0, last / 2, last }.Distinct()];
        page.Append("## Accumulated error of block outputs\n\nRoot mean square over tokens and channels of what the output of a block is off from the original's, everything in front of it quantized too.\n\n");
        page.Append("| scheme | method | text | windows |").AppendJoin("", shown.Select(block => $" block {block + 1} |")).Append("\n|---|---|---|---:|").AppendJoin("", shown.Select(_ => "---:|")).Append('\n');
        foreach (CellResult cell in cells)
        {
            foreach (BlockErrors text in cell.OutputErrors!)
            {
                string figures = string.Concat(shown.Select(block => block < text.Rmse.Count ? string.Create(CultureInfo.InvariantCulture, $" {text.Rmse[block]:G4} |") : " |"));
                Line(page, $"| {MarkdownText.Of(cell.Scheme)} | {MarkdownText.Of(cell.Method)} | {MarkdownText.Of(text.Text)}, {(text.IsCalibration ? "calibration" : "unseen")} | {text.Windows} |{figures}");
            }
        }
        page.Append('\n');
    }

    private static string WithError(CellResult cell, string metric, double? value) => value is null ? "" : string.Create(
        CultureInfo.InvariantCulture, $"{value:0.00000}{(cell.Result!.StandardErrors.TryGetValue(metric, out double error) ? string.Create(CultureInfo.InvariantCulture, $" ± {error:0.00000}") : "")}");

    private static void Line(StringBuilder page, FormattableString text) => page.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
