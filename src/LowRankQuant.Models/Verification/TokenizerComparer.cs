using System.Globalization;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Models.Verification;

/// <summary>Compares what two tokenizers do with texts. Unused tokens that pad one of the vocabularies change nothing and are no difference.</summary>
internal sealed class TokenizerComparer(ITokenizer run, ITokenizer container)
{
    private const int MostIds = 12, MostCharacters = 60;
    private const string Item = "tokenizer";

    /// <summary>Texts compared.</summary>
    public int Texts { get; private set; }

    /// <summary>The first added token, the first text and the first frame around a text that differ.</summary>
    public IEnumerable<Difference> Compare()
    {
        // One token after the other, so that the message names the token and not a text that holds it.
        string[] tokens = [.. TokenizerProbe.TokensOf(run).Union(TokenizerProbe.TokensOf(container), StringComparer.Ordinal).Where(token => token.Length > 0)];
        if (First(tokens.SelectMany(token => TokenizerProbe.Around(token).Select(text => (Text: text, Token: token)))) is { } added)
            yield return new Difference(Item, $"added token {TokenizerException.Quote(added.Token)}: {added.Detail}");
        if (First(TokenizerProbe.Texts.Select(text => (Text: text, Token: ""))) is { } sample) yield return new Difference(Item, sample.Detail);
        string[] frames = [.. new[] { run, container }.Select(Frame)];
        if (frames[0] != frames[1]) yield return new Difference(Item, $"around a text come {frames[1]}, with the run {frames[0]}");
    }

    private (string Token, string Detail)? First(IEnumerable<(string Text, string Token)> texts)
    {
        (string Token, string Detail)? first = null;
        int others = -1;
        foreach ((string text, string token) in texts)
        {
            Texts++;
            string expected = Ids(run, text), actual = Ids(container, text);
            if (expected == actual) continue;
            others++;
            first ??= (token, $"text {Shown(text)} gives ids {Cut(actual)}, the run {Cut(expected)}");
        }
        return first is { } found && others > 0 ? (found.Token, $"{found.Detail}; {others} more of {Texts} texts differ") : first;
    }

    private static string Frame(ITokenizer tokenizer)
    {
        const string Text = "a";
        int[] bare = tokenizer.Encode(Text, addSpecialTokens: false), framed = tokenizer.Encode(Text, addSpecialTokens: true);
        int at = framed.AsSpan().IndexOf(bare);
        return at < 0 ? $"ids [{string.Join(", ", framed)}]" : $"ids [{string.Join(", ", framed[..at])}] and [{string.Join(", ", framed[(at + bare.Length)..])}]";
    }

    private static string Ids(ITokenizer tokenizer, string text)
    {
        try
        {
            return string.Join(", ", tokenizer.Encode(text, addSpecialTokens: false).Select(id => id.ToString(CultureInfo.InvariantCulture)));
        }
        catch (TokenizerException)
        {
            return "none: it cannot spell the text";
        }
    }

    private static string Cut(string ids)
    {
        string[] parts = ids.Split(", ");
        return $"[{string.Join(", ", parts.Take(MostIds))}{(parts.Length > MostIds ? ", ..." : "")}]";
    }

    private static string Shown(string text) => TokenizerException.Quote(text.Length <= MostCharacters ? text : text[..MostCharacters] + "...");
}
