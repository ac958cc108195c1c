using System.Security.Cryptography;
using System.Text;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>
/// report.html: one file that needs nothing else. Style, pictures and the script, which only sorts tables, are in it; its security policy allows no other, so that nothing in a report's
/// texts could run or fetch anything even where it were no text.
/// </summary>
public static class ReportHtml
{
    /// <summary>Name of the file in an output folder.</summary>
    public const string FileName = "report.html";

    /// <summary>The page of one result.</summary>
    /// <param name="result">The result.</param>
    /// <param name="spell">How keys of recipes in backticks are spelled for the reader; null to leave them as they are.</param>
    public static string Write(ReportedResult result, Func<string, string>? spell = null)
    {
        RunReport report = result.Report;
        var sheet = new Sheet("", 2, spell ?? (text => text));
        WriteParts(sheet, result);
        string name = report.Origin is { } origin ? origin.BaseModel ?? NameOf(origin.Model) : result.Name;
        string title = $"{Figure.Short(name, 120)}, {Figure.Short(report.Method, 60)}";
        return Document(title, Figure.Short(report.Scheme, 300), sheet);
    }

    /// <summary>All parts of a result.</summary>
    internal static void WriteParts(Sheet sheet, ReportedResult result)
    {
        RunReport report = result.Report;
        VerdictPart.Write(sheet, report);
        SizePart.Write(sheet, report);
        if (report.Result?.Depth is { } depth) DivergencePart.Write(sheet, report.Result, depth);
        else if (report.Result is not null)
            sheet.Part("divergence", "Where it differs", () => sheet.Say("Not measured: distribution of the divergence, format tokens, the lead of the top token, flips and samples side by side. `in_depth` measures them."));
        TextPart.Write(sheet, report);
        LayerPart.Write(sheet, report);
        BlockPart.Write(sheet, report);
        TaskPart.Write(sheet, report.Tasks);
        OriginPart.Write(sheet, report, result.Recipe);
    }

    /// <summary>A page about parts.</summary>
    /// <param name="title">What it is about.</param>
    /// <param name="lead">What stands below the title.</param>
    /// <param name="sheet">The parts.</param>
    /// <param name="source">Where its figures come from.</param>
    internal static string Document(string title, string lead, Sheet sheet, string source = "report.json beside it")
    {
        string style = $"{PageFiles.Style("charts.css")}\n{PageFiles.Style("page.css")}", script = PageFiles.Style("page.js");
        var page = new Markup();
        page.Add($"<!doctype html>");
        page.Add($"<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">");
        page.Add($"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{Hash(style)}'; script-src 'sha256-{Hash(script)}'; base-uri 'none'; form-action 'none'\">");
        page.Add($"<title>{title}</title><style>{Markup.Own(style)}</style></head><body>");
        page.Add($"<a class=\"skip\" href=\"#{sheet.Parts[0].Id}\">Skip to the {(sheet.Parts[0].Title is "Verdict" ? "verdict" : sheet.Parts[0].Title is "Figures" ? "figures" : "comparison")}</a>");
        page.Add($"<header><h1>{title}</h1><p class=\"soft\">{lead}</p><nav aria-label=\"Parts of the report\"><ul>");
        foreach ((string id, string name) in sheet.Parts) page.Add($"<li><a href=\"#{id}\">{name}</a></li>");
        page.Add($"</ul></nav></header><main>").Add(sheet.Body);
        page.Add($"</main><footer><p>Made by lrq. Figures of this page are those of {source}; docs/guide/report.md says how to read them.</p></footer><script>{Markup.Own(script)}</script></body></html>");
        return page.ToString();
    }

    // The hashed text is what stands between the tags, to the letter.
    private static string Hash(string text) => Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private static string NameOf(string model) => Path.GetFileName(Path.TrimEndingDirectorySeparator(model.Replace('\\', '/'))) is { Length: > 0 } name ? name : model;
}

/// <summary>A result whose report is shown.</summary>
/// <param name="Name">What it is called among others, such as its folder.</param>
/// <param name="Report">Its report.</param>
/// <param name="Recipe">The text of its recipe; null where it is not there.</param>
public sealed record ReportedResult(string Name, RunReport Report, string? Recipe);
