using System.Text;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>Texts of models, users and files within Markdown: no markup, no element of HTML, no line end, no cell of a table comes of them.</summary>
internal static class MarkdownText
{
    /// <summary>Most characters of one.</summary>
    private const int Most = 2000;

    /// <summary>The text as it is read.</summary>
    public static string Of(string? text)
    {
        var escaped = new StringBuilder();
        foreach (char letter in Figure.Short(text ?? "", Most))
        {
            if (char.IsControl(letter)) escaped.Append(' ');
            else if (letter is '<' or '>' or '&') escaped.Append(letter switch { '<' => "&lt;", '>' => "&gt;", _ => "&amp;" });
            else if (letter is '|' or '[' or ']' or '*' or '_' or '\\' or '`') escaped.Append('\\').Append(letter);
            else escaped.Append(letter);
        }
        return escaped.ToString();
    }

    /// <summary>The same in quotes, with spaces at its ends and line ends to be seen: a token or a passage.</summary>
    public static string Quoted(string text) => $"“{Of(text.Replace("\r", "", StringComparison.Ordinal).Replace('\n', '⏎'))}”";
}
