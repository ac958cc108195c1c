using System.Globalization;
using System.Text;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>The part of report.md about which engines run the result; empty where a report names none.</summary>
internal static class EngineMarkdown
{
    private const int Most = 40, LongestText = 600;

    /// <summary>Writes it.</summary>
    public static string Write(IReadOnlyList<EngineReport>? engines)
    {
        if (engines is not { Count: > 0 }) return "";
        var text = new StringBuilder("\n## Engines\n\n| engine | verdict | why |\n| --- | --- | --- |\n");
        foreach (EngineReport engine in engines.Take(Most)) text.Append(CultureInfo.InvariantCulture, $"| {Plain(engine.Engine)} | {Plain(engine.Verdict)} | {Plain(engine.Reason)} |\n");
        return text.ToString();
    }

    // A text within a cell of a table, without markup of its own.
    private static string Plain(string text) => Markup.Escape(text.Length <= LongestText ? text : text[..LongestText] + "…")
        .Replace("\n", " ⏎ ", StringComparison.Ordinal).Replace("\\", "\\\\", StringComparison.Ordinal).Replace("|", "\\|", StringComparison.Ordinal).Replace("`", "\\`", StringComparison.Ordinal)
        .Replace("[", "\\[", StringComparison.Ordinal).Replace("*", "\\*", StringComparison.Ordinal).Replace("_", "\\_", StringComparison.Ordinal);
}
