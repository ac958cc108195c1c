using System.Text.Json;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Quantization.Texts;

/// <summary>Where a row stands, for messages.</summary>
/// <param name="Short">The line or the number of the row.</param>
/// <param name="Full">The same, with the element of an array around all rows.</param>
internal readonly record struct RowPlace(string Short, string Full)
{
    /// <summary>A row of JSON.</summary>
    /// <param name="line">Its line, from 1.</param>
    /// <param name="element">Its number in the array around all rows, from 0; null outside an array.</param>
    public static RowPlace Line(int line, int? element) => new($"line {line}", element is null ? $"line {line}" : $"element {element} (line {line})");

    /// <summary>A row of a table.</summary>
    /// <param name="number">Its number, from 1.</param>
    public static RowPlace Row(long number) => new($"row {number}", $"row {number}");

    /// <inheritdoc/>
    public override string ToString() => Full;
}

/// <summary>From the JSON value of a row to a document: a text, a conversation put into the model's chat format, or token ids.</summary>
/// <param name="path">The file, for messages.</param>
/// <param name="options">Which field holds the text.</param>
/// <param name="chat">The model's chat format, asked for at the first conversation; gives null where the model has none.</param>
/// <param name="notes">Counts what is left out.</param>
internal sealed class RowReader(string path, TextSourceOptions options, Func<ChatText?> chat, TextNotes notes)
{
    private const string IdsField = "input_ids";
    private const int MostNames = 10;

    private ChatText? _chat;

    /// <summary>The field that holds the text.</summary>
    public string Field => options.TextField;

    /// <summary>The document of a row; null where the row is left out, which is counted.</summary>
    /// <param name="piece">The row.</param>
    /// <param name="element">Its number in the array around all rows, from 0; null outside an array.</param>
    /// <exception cref="TextSourceException">The row is no sound JSON, holds something else than text, or a conversation of a model without a chat template.</exception>
    public StringDocument? Text(JsonPiece piece, int? element)
    {
        using JsonDocument json = Parse(piece);
        return Text(json.RootElement, RowPlace.Line(piece.Line, element));
    }

    /// <summary>The same of a row that is parsed already.</summary>
    public StringDocument? Text(JsonElement row, RowPlace place)
    {
        switch (row.ValueKind)
        {
            case JsonValueKind.String:
                return Plain(row, place, "an empty text");
            case JsonValueKind.Array when AreIds(row):
                throw Wrong($"{place} holds token ids; say so by {options.FormatOption} ids");
            case JsonValueKind.Null:
                return Empty(place, "it is null");
            case JsonValueKind.Object:
                break;
            default:
                throw Wrong($"{place} is {JsonText.Shown(row)}, neither a text nor an object with a field '{options.TextField}'");
        }
        if (row.TryGetProperty(options.TextField, out JsonElement text)) return OfField(row, text, place);
        if (options.TextField == TextSourceOptions.UsualField && ChatLayout.Find(row) is { } conversation) return Chat(conversation, place);
        if (row.TryGetProperty(IdsField, out JsonElement ids) && AreIds(ids)) throw Wrong($"{place} holds token ids in '{IdsField}'; say so by {options.FormatOption} ids");
        string names = string.Join(", ", row.EnumerateObject().Take(MostNames).Select(property => $"'{property.Name}'"));
        throw Wrong($"{place} has no field '{options.TextField}'; it has {(names.Length == 0 ? "none" : names)}. Name the field that holds the text by `text_field`");
    }

    /// <summary>The ids of a row.</summary>
    /// <exception cref="TextSourceException">The row is no array of whole numbers, nor an object with one in <c>input_ids</c>.</exception>
    public IdsDocument TokenIds(JsonPiece piece)
    {
        using JsonDocument json = Parse(piece);
        JsonElement row = json.RootElement;
        if (row.ValueKind == JsonValueKind.Object && row.TryGetProperty(IdsField, out JsonElement named)) row = named;
        if (row.ValueKind != JsonValueKind.Array)
        {
            throw Wrong($"line {piece.Line} is no array of token ids, nor an object with one in '{IdsField}'; " +
                $"{options.FormatOption} says what the file holds");
        }
        var ids = new int[row.GetArrayLength()];
        int i = 0;
        foreach (JsonElement id in row.EnumerateArray())
        {
            if (id.ValueKind != JsonValueKind.Number || !id.TryGetInt32(out ids[i]))
                throw Wrong($"line {piece.Line}, element {i}: {JsonText.Shown(id)} is no token id");
            i++;
        }
        return new IdsDocument(ids);
    }

    /// <summary>The columns of a table that its rows are made of.</summary>
    /// <param name="all">All that there are.</param>
    /// <exception cref="TextSourceException">None holds what is asked for.</exception>
    public IReadOnlyCollection<string> Columns(IReadOnlyList<string> all)
    {
        string[] beside = ["system", "tools"];
        if (all.Contains(Field)) return [Field, .. beside];
        string[] usual = Field == TextSourceOptions.UsualField ? [.. ChatLayout.Fields.Intersect(all)] : [];
        if (usual.Length > 0) return [.. usual, .. beside];
        throw Wrong($"it has no column '{Field}'; it has {string.Join(", ", all.Take(MostNames).Select(name => $"'{name}'"))}. Name the column that holds the text by `text_field`");
    }

    /// <summary>Whether an object holds a text or a conversation by itself.</summary>
    public bool IsRow(JsonElement value) => value.ValueKind == JsonValueKind.Object &&
        (value.TryGetProperty(options.TextField, out JsonElement text)
            ? text.ValueKind is JsonValueKind.String or JsonValueKind.Null || ChatLayout.IsConversation(text)
            : options.TextField == TextSourceOptions.UsualField && ChatLayout.Find(value) is not null);

    /// <summary>Parses a value.</summary>
    /// <exception cref="TextSourceException">It is no sound JSON.</exception>
    public JsonDocument Parse(JsonPiece piece) => JsonText.Parse(piece.Text, ref notes.LoneSurrogates, out JsonFault? fault)
        ?? throw new TextSourceException($"'{path}', {fault!.Value.From(piece.Line, piece.Column)}.");

    /// <summary>A failure of this file.</summary>
    public TextSourceException Wrong(string what) => new($"'{path}': {what}.");

    /// <summary>Whether a value is an array of numbers.</summary>
    public static bool AreIds(JsonElement value) =>
        value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value.EnumerateArray().All(id => id.ValueKind == JsonValueKind.Number);

    private StringDocument? OfField(JsonElement row, JsonElement text, RowPlace place)
    {
        string field = options.TextField;
        if (text.ValueKind == JsonValueKind.String) return Plain(text, place, $"'{field}' is empty");
        if (text.ValueKind == JsonValueKind.Null) return Empty(place, $"'{field}' is null");
        if (ChatLayout.IsConversation(text)) return Chat(ChatLayout.Read(row, field, text), place);
        if (AreIds(text)) throw Wrong($"{place} holds token ids in '{field}'; name the array {IdsField} and say {options.FormatOption} ids");
        throw Wrong($"{place}: field '{field}' is {JsonText.Kind(text)}, {JsonText.Shown(text)}; it must be a text. Name the field that holds the text by `text_field`");
    }

    private StringDocument? Plain(JsonElement text, RowPlace place, string empty)
    {
        string value = text.GetString()!;
        if (value.Length == 0) return Empty(place, empty);
        notes.Used++;
        return new StringDocument(value);
    }

    private StringDocument? Empty(RowPlace place, string why)
    {
        if (options.KeepEmptyRows) return new StringDocument("");
        notes.Skip(why, place.Short);
        return null;
    }

    private StringDocument? Chat(Conversation conversation, RowPlace place)
    {
        if (conversation.Unread is { } why)
        {
            notes.Skip($"its conversation cannot be put into text: {why}", place.Short);
            return null;
        }
        try
        {
            _chat ??= chat() ?? throw Wrong(
                $"{place} holds a conversation ({conversation.Keys}), and the model has no chat template to put it into text; " +
                "name a field of plain text by `text_field`, or give other text");
            if (conversation.Tools is not null && !_chat.KnowsTools)
            {
                notes.Skip("its conversation cannot be put into text: it comes with 'tools', which the chat template does not know", place.Short);
                return null;
            }
            if (conversation.Messages.Any(message => message.ToolCalls is not null) && !_chat.KnowsToolCalls)
            {
                notes.Skip("its conversation cannot be put into text: a message has 'tool_calls', which the chat template does not know", place.Short);
                return null;
            }
            string text = _chat.Render(conversation.Messages, addGenerationPrompt: false, conversation.Tools);
            notes.Conversations++;
            IReadOnlyList<(int Start, int End)>? spans = options.MarksAssistant ? _chat.AssistantSpans(conversation.Messages, text, conversation.Tools) : null;
            if (options.MarksAssistant && spans is null)
            {
                notes.Skip("where the assistant speaks cannot be told: the chat template writes earlier messages otherwise once others follow", place.Short);
                return null;
            }
            if (conversation.LeftOut is { } left) notes.LeaveOut(left);
            if (text.Length == 0) return Empty(place, "the chat template makes nothing of it");
            notes.Used++;
            bool begins = _chat.Bos.Length > 0 && text.StartsWith(_chat.Bos, StringComparison.Ordinal);
            return new StringDocument(text, begins, _chat.Eos.Length > 0 && text.AsSpan().TrimEnd().EndsWith(_chat.Eos), spans);
        }
        catch (ChatTemplateException failure) when (_chat is not null)
        {
            notes.Skip($"its conversation cannot be put into text: {failure.Message.TrimEnd('.')}", place.Short);
            return null;
        }
        catch (ChatTemplateException failure)
        {
            throw new TextSourceException(
                $"'{path}': {place} holds a conversation ({conversation.Keys}), and the model's chat template cannot be used: " +
                $"{failure.Message.TrimEnd('.')}. Name a field of plain text by `text_field`.", failure);
        }
    }
}
