namespace LowRankQuant.Models.Tokenizers.Pipeline;

/// <summary>A part of a text: a token (id) or text still to be cut (id -1).</summary>
internal readonly record struct Segment(int Start, int Length, int Id);

/// <summary>
/// Finds added tokens: those that are not normalized in the raw text, the others in the normalized parts between them, where their own
/// text has gone through the normalizer too. Of several tokens the leftmost counts, and there the longest.
/// </summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<int, AddedToken> _byId = [];
    private readonly Dictionary<string, int> _byText = new(StringComparer.Ordinal);
    private readonly TokenTrie _raw = new();
    private readonly TokenTrie _normalized = new();
    private readonly TokenEdges _rawEdges = new();
    private readonly TokenEdges _normalizedEdges = new();

    internal AddedTokens(IReadOnlyList<AddedToken> tokens, Normalizer? normalizer)
    {
        foreach (AddedToken token in tokens)
        {
            _byId.Add(token.Id, token);
            _byText.Add(token.Content, token.Id);
        }
        // Special tokens first: they win where a normalizer makes two tokens equal.
        foreach (AddedToken token in tokens.Where(token => token.Special).Concat(tokens.Where(token => !token.Special)))
        {
            string text = token.Normalized && normalizer is not null ? normalizer.Apply(token.Content) : token.Content;
            (token.Normalized ? _normalized : _raw).Add(text, token.Id);
            (token.Normalized ? _normalizedEdges : _rawEdges).Add(text, token.SingleWord, token.StripLeft || token.StripRight);
        }
    }

    internal IReadOnlyCollection<AddedToken> All => _byId.Values;

    internal bool TryGet(int id, out AddedToken token) => _byId.TryGetValue(id, out token!);

    internal int? Find(string text) => _byText.TryGetValue(text, out int id) ? id : null;

    /// <summary>Cuts a text into tokens and the text between them; parts are not empty and cover the text.</summary>
    internal void Split(string text, bool normalized, bool parsesSpecial, List<Segment> segments)
    {
        segments.Clear();
        TokenTrie trie = normalized ? _normalized : _raw;
        int done = 0;
        if (!trie.IsEmpty)
        {
            int from = 0;
            while (trie.TryFind(text, from, out int start, out int length, out int id))
            {
                int end = start + length;
                from = end;
                AddedToken token = _byId[id];
                if ((token.Special && !parsesSpecial) || (token.SingleWord && !StandsAlone(text, start, end))) continue;
                if (token.StripLeft)
                {
                    while (start > done && char.IsWhiteSpace(text[start - 1])) start--;
                }
                if (token.StripRight)
                {
                    while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
                }
                if (start > done) segments.Add(new Segment(done, start - done, -1));
                segments.Add(new Segment(start, end - start, id));
                done = end;
                from = end;
            }
        }
        if (done < text.Length) segments.Add(new Segment(done, text.Length - done, -1));
    }

    /// <summary>Whether both sides of a place are cut as the whole is, and text, no token, is in front of it.</summary>
    internal bool MayCut(CutPoint place, bool normalized) => (normalized ? _normalizedEdges : _rawEdges).MayCut(place);

    private static bool StandsAlone(string text, int start, int end)
    {
        bool wordBefore = start > 0 && IsWord(text, start - Utf16.RuneLengthBefore(text, start));
        bool wordAfter = end < text.Length && IsWord(text, end);
        return !wordBefore && !wordAfter;
    }

    private static bool IsWord(string text, int at) => (CharClass.At(text, at, out _) & CharKind.Word) != 0;
}
