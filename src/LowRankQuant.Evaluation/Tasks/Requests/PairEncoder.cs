using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Tasks.Requests;

/// <summary>Token ids of a context and of what may follow it.</summary>
/// <param name="Context">What the model has read; at least one id.</param>
/// <param name="Continuation">What is scored; empty where the tokenizer joins it to the context's last token.</param>
internal readonly record struct TokenPair(int[] Context, int[] Continuation);

/// <summary>From texts to ids by the rules of a harness.</summary>
internal sealed class PairEncoder
{
    private readonly ITokenizer _tokenizer;
    private readonly bool _apart;
    private readonly AddBos _addBos;
    private readonly string? _bosText;
    private readonly int? _bos;
    private readonly int? _eos;
    private (string Text, int[] Ids) _lastContext = ("", []);

    /// <summary>Prepares the rules.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="config">Names the special tokens that the tokenizer's files do not.</param>
    /// <param name="harness">Tokenized apart (0.3) or together.</param>
    /// <param name="addBos">Begin-of-text token: as the convention says, always or never.</param>
    /// <exception cref="EvaluationException">The token is asked for and has no id.</exception>
    public PairEncoder(ITokenizer tokenizer, DecoderConfig config, Harness harness, AddBos addBos)
    {
        _tokenizer = tokenizer;
        _apart = harness == Harness.V03;
        _addBos = addBos;
        _bos = tokenizer.BosId ?? config.BosId;
        _eos = tokenizer.EosId ?? (config.EosIds is [int eos, ..] ? eos : null);
        _bosText = _bos is { } id ? tokenizer.TokenText(id) : null;
        if (addBos == AddBos.Yes && _bos is null) throw new EvaluationException("`add_bos` yes: neither the tokenizer nor the configuration names a begin-of-text token.");
    }

    /// <summary>What stands in front of a text without context: 0.3 takes the end-of-text token, 0.4 the begin-of-text token where there is one.</summary>
    /// <exception cref="EvaluationException">The model names neither.</exception>
    public int PrefixToken => (_apart ? _eos ?? _bos : _bos ?? _eos) ??
        throw new EvaluationException("A text without context needs a begin-of-text or end-of-text token, and neither the tokenizer nor the configuration names one.");

    /// <summary>Ids of a context and its continuation.</summary>
    public TokenPair Encode(TextPair pair)
    {
        (string context, string continuation) = pair;
        if (context.Length == 0) return WithoutContext(continuation);
        if (_apart) return new TokenPair(Context(context), _tokenizer.Encode(continuation, addSpecialTokens: false));
        int spaces = PythonText.TrailingSpaces(context);
        if (spaces > 0)
        {
            continuation = context[^spaces..] + continuation;
            context = context[..^spaces];
        }
        // The model is given the ids of the context, and of the whole those beyond their number: not the ids of the whole, which differ where a
        // token spans the border.
        int[] whole = Text(context + continuation), before = Context(context);
        return new TokenPair(before, whole.Length > before.Length ? whole[before.Length..] : []);
    }

    /// <summary>Ids of a text, with the special tokens that the convention puts around it.</summary>
    public int[] Text(string text)
    {
        bool special = _addBos switch
        {
            AddBos.Yes => true,
            AddBos.No => false,
            // A text that begins with the token already gets no second one.
            _ => !_apart && !(_bosText is not null && text.StartsWith(_bosText, StringComparison.Ordinal)),
        };
        if (_addBos != AddBos.Yes) return _tokenizer.Encode(text, special);
        int[] ids = _tokenizer.Encode(text, addSpecialTokens: false);
        return ids is [int first, ..] && first == _bos ? ids : [_bos!.Value, .. ids];
    }

    // The choices of an item, and of MMLU's prompts several thousand characters, share their context.
    private int[] Context(string text)
    {
        if (_lastContext.Text != text) _lastContext = (text, Text(text));
        return _lastContext.Ids;
    }

    private TokenPair WithoutContext(string continuation)
    {
        int[] ids = _tokenizer.Encode(continuation, addSpecialTokens: false);
        int prefix = PrefixToken;
        return !_apart && ids.Length > 1 && ids[0] == prefix ? new TokenPair([prefix], ids[1..]) : new TokenPair([prefix], ids);
    }
}
