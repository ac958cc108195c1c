using System.Globalization;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>Tokens as text that people read: special tokens spelled out, bytes that are no text by what the vocabulary has for them, and numbers where there is no tokenizer.</summary>
/// <param name="tokenizer">The tokenizer; null for none.</param>
internal sealed class TokenWords(ITokenizer? tokenizer)
{
    private const char Unreadable = '\uFFFD';

    /// <summary>Text of tokens; a character that is cut by their beginning is left out.</summary>
    public string Of(ReadOnlySpan<int> ids)
    {
        if (tokenizer is not null) return tokenizer.Decode(ids, skipSpecialTokens: false).TrimStart(Unreadable);
        var numbers = new List<string>();
        foreach (int id in ids) numbers.Add(Number(id));
        return string.Join(' ', numbers);
    }

    /// <summary>Text of a token that follows others, its space included.</summary>
    /// <param name="context">The tokens before it; at least one.</param>
    /// <param name="id">The token.</param>
    public string After(int[] context, int id)
    {
        if (tokenizer is null) return Number(id);
        string before = tokenizer.Decode(context, skipSpecialTokens: false), whole = tokenizer.Decode([.. context, id], skipSpecialTokens: false);
        string text = whole.Length > before.Length && whole.StartsWith(before, StringComparison.Ordinal) ? whole[before.Length..] : tokenizer.Decode([id], skipSpecialTokens: false);
        return text.Trim(Unreadable).Length > 0 ? text : tokenizer.TokenText(id) ?? Number(id);
    }

    /// <summary>Text of tokens that follow others.</summary>
    /// <param name="context">The tokens before them.</param>
    /// <param name="ids">The tokens.</param>
    public string After(int[] context, int[] ids)
    {
        string before = Of(context), whole = Of([.. context, .. ids]);
        return tokenizer is not null && whole.StartsWith(before, StringComparison.Ordinal) ? whole[before.Length..] : Of(ids);
    }

    private static string Number(int id) => "#" + id.ToString(CultureInfo.InvariantCulture);
}
