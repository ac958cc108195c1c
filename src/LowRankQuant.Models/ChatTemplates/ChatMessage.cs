using System.Text.Json;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>One message of a conversation.</summary>
/// <param name="Role">system, user, assistant, or another that the template knows, such as tool.</param>
/// <param name="Content">Its text; null for a message that calls tools and says nothing.</param>
public sealed record ChatMessage(string Role, string? Content)
{
    /// <summary>The calls of tools that it makes, a JSON array as Transformers takes them: of objects with <c>function</c>, which has <c>name</c> and <c>arguments</c>; null for none.</summary>
    public JsonElement? ToolCalls { get; init; }

    /// <summary>The call that a tool answers; null for none.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>Who speaks, such as the tool that answers; null where only the role is known.</summary>
    public string? Name { get; init; }
}
