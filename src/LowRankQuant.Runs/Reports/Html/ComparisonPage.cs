using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Several results on one page: a comparison up front, in which only figures of one text and one original stand together, then every result by itself.</summary>
public static class ComparisonPage
{
    private static readonly Column[] Columns =
    [
        new("result"), new("method", IsWord: true), new("bits per weight"), new("file"), new("KL, nats"), new("same top token"), new("perplexity"), new("time"), new("red flags"),
    ];

    /// <summary>What a reader of these results together must know.</summary>
    /// <param name="results">The results.</param>
    public static IReadOnlyList<string> Warnings(IReadOnlyList<ReportedResult> results) => ResultGroup.Warnings(ResultGroup.Of(results));

    /// <summary>The page.</summary>
    /// <param name="results">The results.</param>
    /// <param name="spell">How keys of recipes in backticks are spelled for the reader; null to leave them as they are.</param>
    public static string Html(IReadOnlyList<ReportedResult> results, Func<string, string>? spell = null)
    {
        spell ??= text => text;
        results = ResultGroup.Named(results);
        var sheet = new Sheet("", 2, spell);
        sheet.Part("comparison", "Comparison", () => Compare(sheet, ResultGroup.Of(results)));
        for (int i = 0; i < results.Count; i++)
        {
            var own = new Sheet($"r{i + 1}-", 3, spell);
            ReportHtml.WriteParts(own, results[i]);
            string id = $"r{i + 1}";
            sheet.Parts.Add((id, results[i].Name));
            sheet.Body.Add($"<section class=\"result\" aria-labelledby=\"{id}\"><h2 id=\"{id}\" tabindex=\"-1\">{results[i].Name}</h2><p class=\"soft\">{Sheet.Bound(results[i].Report.Method, 60)}, {Sheet.Bound(results[i].Report.Scheme, 300)}</p>");
            sheet.Body.Add(own.Body).Add($"</section>");
        }
        return ReportHtml.Document($"{results.Count} results compared", string.Join(", ", results.Take(12).Select(result => result.Name)), sheet);
    }

    /// <summary>The comparison as Markdown.</summary>
    /// <inheritdoc cref="Html"/>
    public static string Markdown(IReadOnlyList<ReportedResult> results, Func<string, string>? spell = null)
    {
        var page = new StringBuilder("# Comparison\n\n");
        IReadOnlyList<ResultGroup> groups = ResultGroup.Of(ResultGroup.Named(results));
        foreach (string warning in ResultGroup.Warnings(groups)) page.Append("**Warning:** ").Append(MarkdownText.Of(spell?.Invoke(warning) ?? warning)).Append("\n\n");
        foreach (ResultGroup group in groups)
        {
            page.Append("## ").Append(MarkdownText.Of(group.Title)).Append("\n\n| ").AppendJoin(" | ", Columns.Select(column => column.Name)).Append(" |\n|").Insert(page.Length, "---|", Columns.Length).Append('\n');
            foreach (Cell[] row in Rows(group)) page.Append("| ").AppendJoin(" | ", row.Select(cell => MarkdownText.Of(cell.Text))).Append(" |\n");
            page.Append('\n');
        }
        return page.ToString();
    }

    /// <summary>The comparison as JSON: warnings, groups with the names of their results, and every report whole.</summary>
    /// <param name="results">The results.</param>
    public static string Json(IReadOnlyList<ReportedResult> results)
    {
        results = ResultGroup.Named(results);
        IReadOnlyList<ResultGroup> groups = ResultGroup.Of(results);
        var whole = new JsonObject
        {
            ["warnings"] = new JsonArray([.. ResultGroup.Warnings(groups).Select(warning => (JsonNode)warning)]),
            ["groups"] = new JsonArray([.. groups.Select(group => (JsonNode)new JsonObject
            {
                ["measuredOn"] = group.IsMeasured ? group.Title : null,
                ["results"] = new JsonArray([.. group.Results.Select(result => (JsonNode)result.Name)]),
            })]),
            ["results"] = new JsonArray([.. results.Select(result => (JsonNode)new JsonObject
            {
                ["name"] = result.Name,
                ["report"] = JsonSerializer.SerializeToNode(result.Report, RunJson.Default.RunReport),
            })]),
        };
        return whole.ToJsonString();
    }

    private static void Compare(Sheet sheet, IReadOnlyList<ResultGroup> groups)
    {
        IReadOnlyList<string> warnings = ResultGroup.Warnings(groups);
        if (warnings.Count > 0)
        {
            sheet.Body.Add($"<ul class=\"marks\">");
            foreach (string warning in warnings) sheet.Body.Add($"<li class=\"red\"><b>Warning:</b> {sheet.Words(warning)}</li>");
            sheet.Body.Add($"</ul>");
        }
        foreach (ResultGroup group in groups)
        {
            sheet.Heading(group.Title);
            NamedPoint[] points = [.. Points(group)];
            // The floor is the original's, and so that of all.
            EvaluationResult? floor = group.Results.Select(result => result.Report.Result).FirstOrDefault(result => result?.Depth?.Bf16Floor is not null);
            if (points.Length > 0)
            {
                sheet.Figures(() => sheet.Figure(id => ScatterChart.Draw(new ChartFrame("KL divergence against size", "size of the file, MiB", "KL divergence, nats (logarithmic)") { Id = id, Height = 320 }, points, FloorText.Level(floor)),
                    "Loss against size", $"Lower and further left is better. Bars are one standard error; squares are round to nearest. {FloorText.Caption(floor)}", null));
            }
            sheet.Add(new Table($"Results measured on {group.Title}; ± is one standard error.", Columns, [.. Rows(group)]) { Sorts = true });
        }
    }

    // What was rounded to the same grid is the same point, whichever run measured it.
    private static IEnumerable<NamedPoint> Points(ResultGroup group)
    {
        foreach (ReportedResult result in group.Results)
        {
            if (result.Report is { Result.KlDivergence: { } loss, ResultBytes: { } bytes }) yield return new NamedPoint(result.Name, bytes / 1048576.0, loss, Verdict.Error(result.Report.Result, "klDivergence"), 0);
        }
        foreach ((EvaluationResult rtn, long bytes, string name) in Rounded(group)) yield return new NamedPoint(name, bytes / 1048576.0, rtn.KlDivergence!.Value, Verdict.Error(rtn, "klDivergence"), 1);
    }

    private static IEnumerable<(EvaluationResult Figures, long Bytes, string Name)> Rounded(ResultGroup group) => group.Results.Select(result => result.Report)
        .Where(report => report.Rtn?.KlDivergence is not null && report.RtnBytes is not null)
        .DistinctBy(report => (report.RtnBytes, report.Rtn!.KlDivergence))
        .Select(report => (report.Rtn!, report.RtnBytes!.Value, "round to nearest" + (report.RtnGrid is { } grid ? $", {Figure.Short(grid, 40)}" : report.Rtn!.BitsPerWeight is { } bits ? $", {bits.ToString("0.##", CultureInfo.InvariantCulture)} bits" : "")));

    private static IEnumerable<Cell[]> Rows(ResultGroup group)
    {
        if (group.Results[0].Report.FullPrecision is { } original && group.IsMeasured)
            yield return ["original", "", new(Figure.Bits(group.Results[0].Report.SourceBitsPerWeight), group.Results[0].Report.SourceBitsPerWeight), Size(group.Results[0].Report.SourceBytes), "", "", Value(original, "perplexity", original.Perplexity), "", ""];
        foreach ((EvaluationResult figures, long bytes, string name) in Rounded(group))
            yield return [name, "rtn", new(Figure.Bits(figures.BitsPerWeight), figures.BitsPerWeight), Size(bytes), Value(figures, "klDivergence", figures.KlDivergence), Share(figures), Value(figures, "perplexity", figures.Perplexity), "", ""];
        foreach (ReportedResult result in group.Results)
        {
            RunReport report = result.Report;
            EvaluationResult figures = report.Result ?? new EvaluationResult();
            int flags = Verdict.Marks(report).Count(mark => mark.Kind == MarkKind.RedFlag);
            yield return
            [
                result.Name, Figure.Short(report.Method, 40), new(Figure.Bits(report.BitsPerWeight), report.BitsPerWeight), Size(report.ResultBytes), Value(figures, "klDivergence", figures.KlDivergence), Share(figures),
                Value(figures, "perplexity", figures.Perplexity), new(Figure.Duration(report.Seconds), report.Seconds), new(flags == 0 ? "none" : $"{flags}", flags),
            ];
        }

        static Cell Size(long? bytes) => new(Figure.Bytes(bytes), bytes);
        static Cell Value(EvaluationResult figures, string metric, double? value) => new(Figure.WithError(value, Verdict.Error(figures, metric)), value);
        static Cell Share(EvaluationResult figures) => new(Figure.Percent(figures.Top1Agreement, Verdict.Error(figures, "top1Agreement")), figures.Top1Agreement);
    }
}
