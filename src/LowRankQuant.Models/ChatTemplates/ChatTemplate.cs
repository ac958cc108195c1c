using System.Text;
using System.Text.RegularExpressions;
using LowRankQuant.Models.ChatTemplates.Language;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>
/// A model's chat template: the part of Jinja that such templates use (output, if, for with break and continue, set, macros, filters, tests, methods of texts, lists and
/// mappings), with Transformers' settings (trim_blocks, lstrip_blocks) and what it adds (<c>tojson</c>, <c>raise_exception</c>, <c>strftime_now</c>, <c>generation</c>).
/// Includes, inheritance and blocks that are called or filtered are not known; a template that uses them fails by name. There is no clock: the date is a variable that is given.
/// </summary>
public sealed partial class ChatTemplate
{
    // Templates with tools have some 10,000 characters.
    private const int LongestSource = 1 << 18;

    private readonly Body _body;
    private readonly string _source;

    private ChatTemplate(Body body, string source) => (_body, _source) = (body, source);

    /// <summary>Parses a template.</summary>
    /// <exception cref="ChatTemplateException">It is too long, unsound, or uses what is not known.</exception>
    public static ChatTemplate Parse(string source)
    {
        if (source.Length > LongestSource) throw new ChatTemplateException($"The chat template has {source.Length} characters; at most {LongestSource} are taken.");
        return new ChatTemplate(new TemplateParser(TemplateLexer.Split(source)).Template(), source);
    }

    /// <summary>Whether a variable of this name occurs in it; what a template does not know it would ignore.</summary>
    public bool Knows(string variable) => Regex.IsMatch(_source, $@"\b{Regex.Escape(variable)}\b", RegexOptions.CultureInvariant);

    /// <summary>The text of a conversation.</summary>
    /// <param name="messages">The messages.</param>
    /// <param name="bosToken">Text of the begin-of-text token; empty for none.</param>
    /// <param name="eosToken">Text of the end-of-text token; empty for none.</param>
    /// <param name="addGenerationPrompt">Whether the beginning of an answer is added.</param>
    /// <param name="arguments">Tools and variables of the template's own; null for none.</param>
    /// <exception cref="ChatTemplateException">The template refuses the messages, or asks for what they do not have.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, string bosToken, string eosToken, bool addGenerationPrompt, TemplateArguments? arguments = null)
    {
        var scope = new TemplateScope(null);
        scope.Set("messages", messages.Select(object? (message) => Members(message)).ToList());
        scope.Set("bos_token", bosToken);
        scope.Set("eos_token", eosToken);
        scope.Set("add_generation_prompt", addGenerationPrompt);
        scope.Set("tools", arguments?.Tools);
        foreach ((string name, object? value) in arguments?.Values ?? new Dictionary<string, object?>()) scope.Set(name, value);
        var text = new StringBuilder();
        _body(scope, text);
        return text.ToString();
    }

    // What a message does not have is not there for the template, as with Transformers.
    private Dictionary<string, object?> Members(ChatMessage message)
    {
        var members = new Dictionary<string, object?> { ["role"] = message.Role, ["content"] = message.Content };
        if (message.Name is { } name) members["name"] = name;
        if (message.ToolCallId is { } id) members["tool_call_id"] = id;
        if (message.ToolCalls is { } calls) members["tool_calls"] = TemplateArguments.CallsOf(calls, asObjects: !TellsTextApart().IsMatch(_source));
        return members;
    }

    // Templates that put arguments out as they are where they are texts, and as JSON where they are objects.
    [GeneratedRegex(@"\barguments(['""]\])?\s+is\s+(not\s+)?(string|mapping)\b", RegexOptions.CultureInvariant)]
    private static partial Regex TellsTextApart();
}
