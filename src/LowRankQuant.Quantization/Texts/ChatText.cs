using System.Text.Json;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Quantization.Texts;

/// <summary>Puts conversations into a model's chat format.</summary>
internal sealed class ChatText
{
    private readonly ChatTemplate _template;
    private readonly TemplateArguments _arguments;

    private ChatText(ChatTemplate template, string bos, string eos, TemplateArguments? arguments = null) =>
        (_template, Bos, Eos, _arguments) = (template, bos, eos, arguments ?? TemplateArguments.None);

    /// <summary>Roles and contents as they stand, for looking at conversations without a model.</summary>
    public static ChatText Plain { get; } = new(
        ChatTemplate.Parse("{% if tools %}tools: {{ tools | tojson }}\n{% endif %}{% for message in messages %}{{ message['role'] }}: {{ message['content'] or '' }}{{ message.tool_calls | tojson if message.tool_calls else '' }}\n{% endfor %}"), "", "");

    /// <summary>Text of the begin-of-text token; empty for none.</summary>
    public string Bos { get; }

    /// <summary>Text of the end-of-text token; empty for none.</summary>
    public string Eos { get; }

    /// <summary>Whether the template puts calls of tools into the text.</summary>
    public bool KnowsToolCalls => _template.Knows("tool_calls");

    /// <summary>Whether the template puts tools into the text.</summary>
    public bool KnowsTools => _template.Knows("tools");

    /// <summary>Reads a model's template; null where it has none.</summary>
    /// <param name="checkpoint">The model.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="config">Its configuration.</param>
    /// <param name="arguments">Variables of the template's own; null for none.</param>
    /// <exception cref="ChatTemplateException">The template uses what this library does not know, or has no such variable.</exception>
    public static ChatText? Of(ICheckpoint checkpoint, ITokenizer tokenizer, DecoderConfig config, TemplateArguments? arguments = null)
    {
        if (checkpoint.ReadChatTemplate() is not { } source) return null;
        ChatTemplate template = ChatTemplate.Parse(source);
        if (arguments?.Names.FirstOrDefault(name => !template.Knows(name)) is { } unknown)
            throw new ChatTemplateException($"`chat_template_kwargs`: there is no variable '{unknown}' in it, so that it would do nothing.");
        return new ChatText(template, Token(tokenizer.BosId ?? config.BosId), Token(tokenizer.EosId ?? (config.EosIds is [int eos, ..] ? eos : null)), arguments);

        string Token(int? id) => id is { } known ? tokenizer.TokenText(known) ?? "" : "";
    }

    /// <summary>The text of a conversation.</summary>
    /// <param name="messages">The messages.</param>
    /// <param name="addGenerationPrompt">Whether the beginning of an answer is added.</param>
    /// <param name="tools">A JSON array of tools; null for none.</param>
    /// <exception cref="ChatTemplateException">The template refuses the messages.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt, JsonElement? tools = null) =>
        _template.Render(messages, Bos, Eos, addGenerationPrompt, tools is { } given ? _arguments.With(given) : _arguments);

    /// <summary>
    /// Where in the text of a conversation the assistant speaks: from behind the beginning of an answer to the end of its message, with the token that ends it. Found
    /// by rendering the conversation up to every answer, so it needs a template that writes messages one behind the other.
    /// </summary>
    /// <param name="messages">The messages.</param>
    /// <param name="text">Their text.</param>
    /// <param name="tools">A JSON array of tools; null for none.</param>
    /// <returns>Start and end of every answer; null where the template writes earlier messages otherwise once others follow.</returns>
    /// <exception cref="ChatTemplateException">The template refuses the beginning of the conversation.</exception>
    public IReadOnlyList<(int Start, int End)>? AssistantSpans(IReadOnlyList<ChatMessage> messages, string text, JsonElement? tools)
    {
        var spans = new List<(int Start, int End)>();
        for (int i = 0; i < messages.Count; i++)
        {
            if (messages[i].Role != "assistant") continue;
            ChatMessage[] before = [.. messages.Take(i)];
            string ended = Render([.. before, messages[i]], addGenerationPrompt: false, tools);
            string begun = i == 0 ? "" : Render(before, addGenerationPrompt: false, tools);
            if (!text.StartsWith(ended, StringComparison.Ordinal) || !text.StartsWith(begun, StringComparison.Ordinal)) return null;
            // A beginning of an answer may hold more than answers that are there do, such as empty thoughts.
            int start = i == 0 ? 0 : text.AsSpan().CommonPrefixLength(Render(before, addGenerationPrompt: true, tools));
            spans.Add((Math.Clamp(start, begun.Length, ended.Length), ended.Length));
        }
        return spans;
    }
}
