namespace LowRankQuant.Quantization.Texts;

/// <summary>What a file of text holds.</summary>
public enum TextFormat
{
    /// <summary>
    /// By the name of the file, <c>.gz</c> aside: json, jsonl, ids and ids.jsonl; anything else is plain text unless its first lines are JSON objects
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
}

/// <summary>How a file of text is read.</summary>
public sealed record TextSourceOptions
{
    /// <summary>The field of texts when none is named.</summary>
    public const string UsualField = "text";

    /// <summary>What the file holds.</summary>
    public TextFormat Format { get; init; }

    /// <summary>
    /// Field of JSON objects that holds the text or the conversation. With the usual one, objects without it may hold a conversation in a known layout.
    /// </summary>
    public string TextField { get; init; } = UsualField;

    /// <summary>The option by which the user names <see cref="Format"/>, for messages.</summary>
    public string FormatOption { get; init; } = "`calibration_format`";

    /// <summary>Keeps rows without text, for joining rows, instead of leaving them out.</summary>
    public bool KeepEmptyRows { get; init; }
}
