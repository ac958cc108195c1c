using LowRankQuant.Models.ChatTemplates;

namespace LowRankQuant.Quantization.Texts;

/// <summary>What a file of text holds.</summary>
public enum TextFormat
{
    /// <summary>
    /// By the name of the file, <c>.gz</c> and <c>.zst</c> aside: json, jsonl, csv, parquet, ids and ids.jsonl; anything else is plain text unless its first lines are JSON objects
    /// that hold a text or a conversation.
    /// </summary>
    Auto,

    /// <summary>Plain text.</summary>
    Text,

    /// <summary>A JSON array of strings or of objects with a text field or a conversation, or an object around such an array.</summary>
    Json,

    /// <summary>JSON strings or objects behind each other, usually one a line.</summary>
    JsonLines,

    /// <summary>JSON arrays of token ids, or objects with an array <c>input_ids</c>, usually one a line.</summary>
    Ids,

    /// <summary>Comma-separated values after RFC 4180, whose first record names the columns.</summary>
    Csv,

    /// <summary>An Apache Parquet file, columns of structs and lists of structs included.</summary>
    Parquet,
}

/// <summary>How rows of a file make documents.</summary>
public enum TextJoin
{
    /// <summary>Every row is a document.</summary>
    None,

    /// <summary>All rows are one document, joined by <c>"\n\n"</c>.</summary>
    BlankLines,

    /// <summary>All rows are one document, joined by <c>" "</c>.</summary>
    Spaces,
}

/// <summary>How a file of text is read.</summary>
public sealed record TextSourceOptions
{
    /// <summary>The field of texts when none is named.</summary>
    public const string UsualField = "text";

    /// <summary>What the file holds.</summary>
    public TextFormat Format { get; init; }

    /// <summary>
    /// Field of JSON objects, or column of CSV and Parquet files, that holds the text or the conversation. With the usual one, objects without it may hold a conversation in a known layout.
    /// </summary>
    public string TextField { get; init; } = UsualField;

    /// <summary>The option by which the user names <see cref="Format"/>, for messages.</summary>
    public string FormatOption { get; init; } = "`calibration_format`";

    /// <summary>Variables of the chat template's own; null for none.</summary>
    public TemplateArguments? ChatArguments { get; init; }

    /// <summary>Whether documents know where in them the assistant of a conversation speaks.</summary>
    public bool MarksAssistant { get; init; }

    /// <summary>The files that the path stands for, in order; null: as it says.</summary>
    public IReadOnlyList<string>? Files { get; init; }

    /// <summary>The text as it was named, for reports; null: its path.</summary>
    public string? Name { get; init; }

    /// <summary>How the rows of JSON, CSV and Parquet files make documents.</summary>
    public TextJoin Join { get; init; }

    /// <summary>The first so many rows alone; null for all.</summary>
    public int? MostRows { get; init; }

    /// <summary>Keeps rows without text, for joining rows, instead of leaving them out.</summary>
    public bool KeepEmptyRows { get; init; }
}
