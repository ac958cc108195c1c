using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Quantization.Texts;

/// <summary>Puts conversations into a model's chat format.</summary>
internal sealed class ChatText
{
    private readonly ChatTemplate _template;

    private ChatText(ChatTemplate template, string bos, string eos) => (_template, Bos, Eos) = (template, bos, eos);

    /// <summary>Roles and contents as they stand, for looking at conversations without a model.</summary>
    public static ChatText Plain { get; } = new(ChatTemplate.Parse("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"), "", "");

    /// <summary>Text of the begin-of-text token; empty for none.</summary>
    public string Bos { get; }

    /// <summary>Text of the end-of-text token; empty for none.</summary>
    public string Eos { get; }

    /// <summary>Reads a model's template; null where it has none.</summary>
    /// <exception cref="ChatTemplateException">The template uses what this library does not know.</exception>
    public static ChatText? Of(ICheckpoint checkpoint, ITokenizer tokenizer, DecoderConfig config)
    {
        if (checkpoint.ReadChatTemplate() is not { } source) return null;
        return new ChatText(
            ChatTemplate.Parse(source), Token(tokenizer.BosId ?? config.BosId), Token(tokenizer.EosId ?? (config.EosIds is [int eos, ..] ? eos : null)));

        string Token(int? id) => id is { } known ? tokenizer.TokenText(known) ?? "" : "";
    }

    /// <summary>The text of a conversation.</summary>
    /// <param name="messages">The messages.</param>
    /// <param name="addGenerationPrompt">Whether the beginning of an answer is added.</param>
    /// <exception cref="ChatTemplateException">The template refuses the messages.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt) => _template.Render(messages, Bos, Eos, addGenerationPrompt);
}
