using System.Text.Json;
using System.Text.Json.Nodes;

namespace LowRankQuant.Evaluation.Tasks.Data;

/// <summary>One row of a task's file: columns by name.</summary>
/// <param name="place">Where it stands, for messages: file and line.</param>
/// <param name="columns">Its columns; those of a CSV file are strings.</param>
/// <param name="loneSurrogates">Halves of surrogate pairs in it that were read as U+FFFD.</param>
internal sealed class TaskRow(string place, JsonObject columns, int loneSurrogates = 0)
{
    /// <summary>Halves of surrogate pairs that were read as U+FFFD.</summary>
    public int LoneSurrogates => loneSurrogates;

    /// <summary>Whether the column is there and holds something.</summary>
    public bool Has(string name) => columns[name] is not null;

    /// <summary>Whether all of the columns are there.</summary>
    public bool HasAll(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (!Has(name)) return false;
        }
        return true;
    }

    /// <summary>A text; a number is taken as it is written.</summary>
    public string Text(string name) => AsText(Required(name)) ?? throw Wrong($"column '{name}' must hold a text");

    /// <summary>Texts.</summary>
    public IReadOnlyList<string> Texts(string name) => Required(name) is JsonArray array
        ? [.. array.Select(node => AsText(node) ?? throw Wrong($"column '{name}' must hold an array of texts"))]
        : throw Wrong($"column '{name}' must hold an array of texts");

    /// <summary>A whole number; one written as text counts, and so do false (0) and true (1).</summary>
    public int Integer(string name)
    {
        JsonNode node = Required(name);
        if (node.GetValueKind() is JsonValueKind.True or JsonValueKind.False) return node.GetValue<bool>() ? 1 : 0;
        string? text = AsText(node)?.Trim();
        if (int.TryParse(text, System.Globalization.NumberStyles.AllowLeadingSign, System.Globalization.CultureInfo.InvariantCulture, out int value)) return value;
        return text?.ToUpperInvariant() switch
        {
            "TRUE" => 1,
            "FALSE" => 0,
            _ => throw Wrong($"column '{name}' must hold a whole number and holds {Shown(node)}"),
        };
    }

    /// <summary>Whether a column holds an object.</summary>
    public bool IsObject(string name) => columns[name] is JsonObject;

    /// <summary>The columns of an object within a column.</summary>
    public TaskRow Part(string name) => Required(name) is JsonObject part ? new TaskRow($"{place}, {name}", part, loneSurrogates) : throw Wrong($"column '{name}' must hold an object");

    /// <summary>The columns of the objects within an array.</summary>
    public IReadOnlyList<TaskRow> Parts(string name) => Required(name) is JsonArray array
        ? [.. array.Select((node, i) => node is JsonObject part ? new TaskRow($"{place}, {name}[{i}]", part, loneSurrogates) : throw Wrong($"column '{name}' must hold objects"))]
        : throw Wrong($"column '{name}' must hold an array of objects");

    /// <summary>The position of a value among others.</summary>
    public int Position(IReadOnlyList<string> among, string value)
    {
        for (int i = 0; i < among.Count; i++)
        {
            if (among[i] == value) return i;
        }
        throw Wrong($"the answer '{value}' is none of the labels {string.Join(", ", among)}");
    }

    /// <summary>A failure of this row.</summary>
    public EvaluationException Wrong(string rule) => new($"{place}: {rule}.");

    private JsonNode Required(string name) => columns[name] ?? throw Wrong(
        $"there is no column '{name}'; the row has {(columns.Count == 0 ? "none" : string.Join(", ", columns.Select(pair => pair.Key)))}");

    private static string? AsText(JsonNode? node) => node?.GetValueKind() switch
    {
        JsonValueKind.String => node.GetValue<string>(),
        JsonValueKind.Number => node.ToJsonString(),
        _ => null,
    };

    private static string Shown(JsonNode node)
    {
        string text = node.ToJsonString();
        return text.Length <= 40 ? text : text[..40] + "...";
    }
}
