using System.Text.Json;
using LowRankQuant.Models.ChatTemplates;

namespace LowRankQuant.Quantization.Texts;

/// <summary>A conversation found in a row.</summary>
/// <param name="Keys">The fields that hold it, for messages.</param>
/// <param name="Messages">The messages; empty where something in them cannot be read.</param>
/// <param name="Unread">Why the conversation cannot be used; null when it can.</param>
/// <param name="LeftOut">What is left out of it, such as an assistant's thoughts; null for nothing.</param>
/// <param name="Tools">A JSON array of tools that come with it; null for none.</param>
internal sealed record Conversation(string Keys, IReadOnlyList<ChatMessage> Messages, string? Unread = null, string? LeftOut = null, JsonElement? Tools = null);

/// <summary>
/// The layouts of published conversations: <c>messages</c> (role, content), ShareGPT's <c>conversations</c> (from, value), Alpaca's <c>instruction</c>,
/// <c>input</c>, <c>output</c>, and pairs such as <c>prompt</c> and <c>completion</c>.
/// </summary>
internal static class ChatLayout
{
    private static readonly string[] Lists = ["messages", "conversations", "conversation"];

    private static readonly (string Asked, string Answered)[] Pairs =
        [("instruction", "output"), ("instruction", "response"), ("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("query", "response")];

    private const string Calls = "tool_calls", OldCall = "function_call";
    private static readonly string[] Thoughts = ["reasoning_content", "reasoning", "thinking"];

    /// <summary>Names of all fields that a known layout takes a conversation from.</summary>
    public static IEnumerable<string> Fields => [.. Lists, .. Pairs.Select(pair => pair.Asked), .. Pairs.Select(pair => pair.Answered), "input"];

    /// <summary>The conversation of a row in a known layout; null when it has none.</summary>
    public static Conversation? Find(JsonElement row)
    {
        foreach (string key in Lists)
        {
            if (row.TryGetProperty(key, out JsonElement list) && IsConversation(list)) return Read(row, key, list);
        }
        foreach ((string asked, string answered) in Pairs)
        {
            if (!row.TryGetProperty(asked, out JsonElement question) || !row.TryGetProperty(answered, out JsonElement answer)) continue;
            string keys = $"'{asked}' and '{answered}'";
            if (IsConversation(question) && IsConversation(answer)) return Joined(keys, Read(row, asked, question), Read(row, answered, answer));
            if (question.ValueKind != JsonValueKind.String || answer.ValueKind != JsonValueKind.String) continue;
            string input = asked == "instruction" ? Text(row, "input") : "";
            var messages = new List<ChatMessage>();
            if (Text(row, "system") is { Length: > 0 } system) messages.Add(new ChatMessage("system", system));
            messages.Add(new ChatMessage("user", input.Length == 0 ? question.GetString()! : $"{question.GetString()}\n\n{input}"));
            messages.Add(new ChatMessage("assistant", answer.GetString()!));
            return new Conversation(keys, messages);
        }
        return null;
    }

    /// <summary>Whether a value is a list of messages.</summary>
    public static bool IsConversation(JsonElement value) =>
        value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value.EnumerateArray().All(message => message.ValueKind == JsonValueKind.Object &&
            (message.TryGetProperty("role", out _) || message.TryGetProperty("from", out _)));

    /// <summary>The conversation of a list of messages.</summary>
    /// <param name="row">The row, which may have a <c>system</c> text and <c>tools</c>.</param>
    /// <param name="key">The field that holds the list.</param>
    /// <param name="list">The list.</param>
    public static Conversation Read(JsonElement row, string key, JsonElement list)
    {
        string keys = $"'{key}'";
        JsonElement? with = null;
        if (row.TryGetProperty("tools", out JsonElement tools) && Holds(tools) && (with = ToolsOf(tools)) is null)
            return new Conversation(keys, [], "it comes with 'tools' that are no JSON array");
        var messages = new List<ChatMessage>();
        string? leftOut = null;
        if (Text(row, "system") is { Length: > 0 } system) messages.Add(new ChatMessage("system", system));
        foreach (JsonElement message in list.EnumerateArray())
        {
            if (message.TryGetProperty(OldCall, out JsonElement old) && Holds(old)) return new Conversation(keys, [], $"a message has '{OldCall}'");
            JsonElement? called = null;
            if (message.TryGetProperty(Calls, out JsonElement calls) && Holds(calls) && (called = ToolsOf(calls)) is null)
                return new Conversation(keys, [], $"a message has '{Calls}' that are no JSON array");
            leftOut ??= Thoughts.FirstOrDefault(thought => message.TryGetProperty(thought, out JsonElement value) && Holds(value));
            if (Role(message) is not { } role) return new Conversation(keys, [], $"the role of a message is {Shown(message, "role", "from")}");
            (string? content, string? unread) = Content(message);
            if (content is null && (called is null || (message.TryGetProperty("content", out JsonElement said) && said.ValueKind != JsonValueKind.Null))) return new Conversation(keys, [], unread);
            messages.Add(new ChatMessage(role, content) { ToolCalls = called, ToolCallId = TextOf(message, "tool_call_id"), Name = TextOf(message, "name") });
        }
        return new Conversation(keys, messages, null, leftOut is null ? null : $"'{leftOut}'", with);
    }

    private static Conversation Joined(string keys, Conversation first, Conversation second) =>
        new(keys, first.Unread is null && second.Unread is null ? [.. first.Messages, .. second.Messages.Where(message => message.Role != "system")] : [],
            first.Unread ?? second.Unread, first.LeftOut ?? second.LeftOut, first.Tools ?? second.Tools);

    // Tables keep them as JSON text.
    private static JsonElement? ToolsOf(JsonElement tools)
    {
        if (tools.ValueKind == JsonValueKind.Array) return tools;
        if (tools.ValueKind != JsonValueKind.String) return null;
        int replaced = 0;
        using JsonDocument? parsed = JsonText.Parse(tools.GetString()!, ref replaced, out _);
        return parsed?.RootElement.ValueKind == JsonValueKind.Array ? parsed.RootElement.Clone() : null;
    }

    private static string? Role(JsonElement message)
    {
        // Roles of chat templates are taken as they are: the template says which it knows.
        if (message.TryGetProperty("role", out JsonElement role))
            return role.ValueKind == JsonValueKind.String && role.GetString() is { Length: > 0 } name ? name : null;
        return Text(message, "from") switch
        {
            "human" or "user" => "user",
            "gpt" or "assistant" or "chatgpt" or "bard" or "bing" or "model" => "assistant",
            "system" => "system",
            "tool" or "observation" or "function" => "tool",
            _ => null,
        };
    }

    private static (string? Content, string? Unread) Content(JsonElement message)
    {
        if (!message.TryGetProperty("content", out JsonElement content) && !message.TryGetProperty("value", out content)) return (null, "a message has no 'content'");
        if (content.ValueKind == JsonValueKind.String) return (content.GetString(), null);
        if (content.ValueKind != JsonValueKind.Array) return (null, $"the content of a message is {JsonText.Kind(content)}");
        var parts = new List<string>();
        foreach (JsonElement part in content.EnumerateArray())
        {
            if (part.ValueKind == JsonValueKind.String) parts.Add(part.GetString()!);
            else if (part.ValueKind == JsonValueKind.Object && IsText(part)) parts.Add(Text(part, "text"));
            else return (null, $"a part of a message is of type {(part.ValueKind == JsonValueKind.Object ? Shown(part, "type", "type") : JsonText.Kind(part))}");
        }
        return (string.Join('\n', parts), null);
    }

    private static bool IsText(JsonElement part) =>
        part.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String && Text(part, "type") is "text" or "input_text" or "output_text" or "";

    private static bool Holds(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => false,
        JsonValueKind.Array => value.GetArrayLength() > 0,
        JsonValueKind.String => value.GetString()!.Length > 0 && value.GetString() != "[]",
        _ => true,
    };

    private static string Text(JsonElement row, string key) => TextOf(row, key) ?? "";

    private static string? TextOf(JsonElement row, string key) =>
        row.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string Shown(JsonElement element, string key, string other) =>
        element.TryGetProperty(key, out JsonElement value) || element.TryGetProperty(other, out value) ? JsonText.Shown(value) : "absent";
}
