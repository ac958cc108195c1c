using System.Text.RegularExpressions;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>A column of a table.</summary>
/// <param name="Name">Its head.</param>
/// <param name="IsWord">Whether it holds words, which stand on the left; figures stand on the right.</param>
/// <param name="IsLong">Whether it holds texts that are broken into lines.</param>
internal sealed record Column(string Name, bool IsWord = false, bool IsLong = false);

/// <summary>A cell of a table.</summary>
/// <param name="Text">What stands in it.</param>
/// <param name="Value">What it is sorted by; null for the text.</param>
internal readonly record struct Cell(string Text, double? Value = null)
{
    /// <summary>A cell of text.</summary>
    public static implicit operator Cell(string text) => new(text);
}

/// <summary>A table.</summary>
/// <param name="Caption">What it holds.</param>
/// <param name="Columns">Its columns; the first names the rows.</param>
/// <param name="Rows">Its rows.</param>
internal sealed record Table(string Caption, IReadOnlyList<Column> Columns, IReadOnlyList<Cell[]> Rows)
{
    /// <summary>Whether its rows can be sorted.</summary>
    public bool Sorts { get; init; }

    /// <summary>The row of the result itself among others; null for none.</summary>
    public int? Own { get; init; }
}

/// <summary>A part of a page in the making: headings of the right level, tables, figures with their data, ids that no other part has.</summary>
/// <param name="prefix">What ids begin with.</param>
/// <param name="level">Level of the headings of parts.</param>
/// <param name="spell">How keys of recipes in backticks are spelled for the reader.</param>
internal sealed partial class Sheet(string prefix, int level, Func<string, string> spell)
{
    private const int MostRows = 2000, LongestText = 4000;
    private int _number;

    /// <summary>What there is so far.</summary>
    public Markup Body { get; } = new();

    /// <summary>The parts with their ids, in their order.</summary>
    public List<(string Id, string Title)> Parts { get; } = [];

    /// <summary>Level of the headings of parts.</summary>
    public int Level => level;

    /// <summary>An id within the page.</summary>
    public string Id(string name) => prefix + name;

    /// <summary>A part with its heading.</summary>
    public void Part(string id, string title, Action content)
    {
        Parts.Add((Id(id), title));
        Body.Add($"<section class=\"part\" aria-labelledby=\"{Id(id)}\"><h{level} id=\"{Id(id)}\" tabindex=\"-1\">{title}</h{level}>");
        content();
        Body.Add($"</section>");
    }

    /// <summary>A heading within a part.</summary>
    public void Heading(string title) => Body.Add($"<h{level + 1}>{title}</h{level + 1}>");

    /// <summary>A paragraph; keys in backticks are spelled.</summary>
    public void Say(string text, string kind = "") => Body.Add($"<p{Markup.Own(kind.Length == 0 ? "" : $" class=\"{kind}\"")}>{Words(text)}</p>");

    /// <summary>A text whose keys of recipes are spelled, and whose names in backticks are code.</summary>
    public Markup Words(string text)
    {
        var words = new Markup();
        string rest = Bound(spell(text));
        int at = 0;
        foreach (Match code in Code().Matches(rest))
        {
            words.Add(Markup.Of($"{rest[at..code.Index]}<code>{(code.Groups[1].Success ? code.Groups[1].Value : code.Value)}</code>"));
            at = code.Index + code.Length;
        }
        return words.Add(Markup.Of($"{rest[at..]}"));
    }

    /// <summary>A text as the reader spells it, without markup.</summary>
    public string Spell(string text) => spell(text);

    /// <summary>A text of a length that a page can hold.</summary>
    public static string Bound(string? text, int most = LongestText) => text is null ? "" : text.Length <= most ? text : text[..most] + "… (cut)";

    /// <summary>A table that scrolls within itself where it is wider than the page.</summary>
    public void Add(Table table)
    {
        int shown = Math.Min(table.Rows.Count, MostRows);
        bool isTall = shown > 24;
        string caption = table.Rows.Count > shown ? $"{table.Caption} The first {shown} of {table.Rows.Count}; report.json has all." : table.Caption;
        Body.Add($"<div class=\"wide{(isTall ? " tall" : "")}\" role=\"region\" aria-label=\"{table.Caption}\" tabindex=\"0\"><table{Markup.Own(table.Sorts ? " data-sort" : "")}><caption><span>{caption}</span></caption><thead><tr>");
        foreach (Column column in table.Columns) Body.Add($"<th scope=\"col\"{Markup.Own(column.IsWord || column.IsLong ? " class=\"word\"" : "")}>{column.Name}</th>");
        Body.Add($"</tr></thead><tbody>");
        for (int row = 0; row < shown; row++)
        {
            Body.Add($"<tr{Markup.Own(table.Own == row ? " class=\"own\"" : "")}>");
            for (int i = 0; i < table.Columns.Count && i < table.Rows[row].Length; i++)
            {
                (string text, double? value) = table.Rows[row][i];
                Markup sorted = value is { } number && double.IsFinite(number) ? Markup.Of($" data-v=\"{number:R}\"") : new Markup();
                string kind = table.Columns[i].IsLong ? " class=\"text\"" : table.Columns[i].IsWord ? " class=\"word\"" : "";
                if (i == 0) Body.Add($"<th scope=\"row\"{Markup.Own(kind)}{sorted}>{Bound(text)}</th>");
                else Body.Add($"<td{Markup.Own(kind)}{sorted}>{Bound(text)}</td>");
            }
            Body.Add($"</tr>");
        }
        Body.Add($"</tbody></table></div>");
    }

    /// <summary>Figures beside each other where the page is wide enough.</summary>
    public void Figures(Action content)
    {
        Body.Add($"<div class=\"figures\">");
        content();
        Body.Add($"</div>");
    }

    /// <summary>A figure with what it says, and its data as a table for who does not see it.</summary>
    /// <param name="draw">Draws it under an id.</param>
    /// <param name="title">What it shows.</param>
    /// <param name="caption">How to read it.</param>
    /// <param name="data">Its data; null where a table of the page has them.</param>
    public void Figure(Func<string, Markup> draw, string title, string caption, Table? data)
    {
        Body.Add($"<figure>{draw(Id($"figure{++_number}"))}<figcaption><b>{title}.</b> {Words(caption)}</figcaption>");
        if (data is not null)
        {
            Body.Add($"<details class=\"figures-data\"><summary>Data: {title}</summary>");
            Add(data);
            Body.Add($"</details>");
        }
        Body.Add($"</figure>");
    }

    [GeneratedRegex("`([^`]{1,200})`|(?<![-\\w])--[a-z][-a-z0-9]*")]
    private static partial Regex Code();
}
