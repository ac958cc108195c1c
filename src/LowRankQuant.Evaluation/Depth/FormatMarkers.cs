using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>
/// Which tokens of a vocabulary carry format, by kind. Such are special tokens, and those spelled as markers (<c>&lt;think&gt;</c>, <c>[INST]</c>) that the chat template has or that are
/// known to be added to vocabularies as ordinary ones. A marker that a vocabulary spells in several tokens is none.
/// </summary>
internal sealed class FormatMarkers
{
    public const string EndOfText = "end of text";
    public const string Turn = "turn";
    public const string Thinking = "thinking";
    public const string ToolCall = "tool call";
    public const string OtherSpecial = "other special";

    // Markers that some tokenizers add as tokens that are not special.
    private static readonly HashSet<string> Known = new(StringComparer.Ordinal)
    {
        "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
        "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[THINK]", "[/THINK]", "<|channel|>", "<|python_tag|>", "<start_of_turn>", "<end_of_turn>", "<|im_start|>", "<|im_end|>",
    };

    private static readonly HashSet<string> TurnNames =
        ["user", "assistant", "system", "developer", "human", "bot", "observation", "start", "end", "message", "return", "inst", "/inst", "user_token", "chatbot_token", "system_token"];

    private static readonly string[] TurnParts = ["im_start", "im_end", "im_sep", "im_middle", "turn", "header_id", "of_role", "system_prompt"];

    private static readonly HashSet<string> EndNames = ["/s", "eos", "eod", "endoftext", "end_of_text", "end_of_sentence", "end_of_document", "endofprompt"];

    private readonly Dictionary<int, string> _kinds = [];

    /// <param name="tokenizer">The vocabulary.</param>
    /// <param name="template">The source of the model's chat template; null for none.</param>
    /// <param name="config">Names tokens that end a text.</param>
    public FormatMarkers(ITokenizer tokenizer, string? template, DecoderConfig config)
    {
        for (int id = 0; id < tokenizer.VocabularySize; id++)
        {
            if (tokenizer.TokenText(id) is not { } text) continue;
            bool ends = id == tokenizer.EosId || config.EosIds.Contains(id);
            if (KindOf(text, tokenizer.IsSpecial(id), ends, template) is { } kind) _kinds[id] = kind;
        }
    }

    /// <summary>All kinds, in the order of reports.</summary>
    public static IReadOnlyList<string> Kinds { get; } = [EndOfText, Turn, Thinking, ToolCall, OtherSpecial];

    /// <summary>The kind of a token; null for one that carries no format.</summary>
    public string? KindOf(int id) => _kinds.GetValueOrDefault(id);

    /// <summary>The kind of a token by its text.</summary>
    /// <param name="text">As the vocabulary spells it.</param>
    /// <param name="special">Whether the tokenizer calls it special.</param>
    /// <param name="ends">Whether model or tokenizer name it as the end of a text.</param>
    /// <param name="template">The source of the chat template; null for none.</param>
    internal static string? KindOf(string text, bool special, bool ends, string? template)
    {
        if (!special && !ends && !(IsMarker(text) && (Known.Contains(text) || template?.Contains(text, StringComparison.Ordinal) == true))) return null;
        // DeepSeek writes <｜tool▁calls▁begin｜>.
        string name = text.Trim('<', '>', '[', ']', '|', '｜').Replace('▁', '_').ToLowerInvariant();
        if (Has("think", "thought", "reasoning", "channel")) return Thinking;
        if (Has("tool", "python_tag", "function") || name == "call") return ToolCall;
        if (TurnNames.Contains(name) || Has(TurnParts) || name.StartsWith("eot", StringComparison.Ordinal) || name.StartsWith("eom", StringComparison.Ordinal)) return Turn;
        return ends || EndNames.Contains(name) ? EndOfText : OtherSpecial;

        bool Has(params ReadOnlySpan<string> parts)
        {
            foreach (string part in parts)
            {
                if (name.Contains(part, StringComparison.Ordinal)) return true;
            }
            return false;
        }
    }

    private static bool IsMarker(string text) => text.Length > 3 && ((text[0] == '<' && text[^1] == '>') || (text[0] == '[' && text[^1] == ']'));
}
