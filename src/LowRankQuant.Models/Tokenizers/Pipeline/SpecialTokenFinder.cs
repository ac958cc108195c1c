namespace LowRankQuant.Models.Tokenizers.Pipeline;

/// <summary>
/// Finds special tokens in a text as llama.cpp does: the longest token first, all its places from left to right, then the next longest
/// in what is left.
/// </summary>
internal sealed class SpecialTokenFinder
{
    private readonly TokenTrie _trie = new();
    private readonly Dictionary<int, string> _texts = [];

    private readonly TokenEdges _edges = new();

    private readonly bool _stripsAfter;

    /// <param name="vocabulary">All tokens.</param>
    /// <param name="kinds">Kinds by id.</param>
    /// <param name="isWanted">Which kinds are looked for.</param>
    /// <param name="stripsAfter">Phi-3: white space after a special token is dropped, but for the three tokens older than the chat format.</param>
    internal SpecialTokenFinder(Vocabulary vocabulary, TokenKind[] kinds, Func<TokenKind, bool> isWanted, bool stripsAfter = false)
    {
        _stripsAfter = stripsAfter;
        foreach ((string text, int id) in vocabulary.Entries)
        {
            if (text.Length == 0 || !isWanted(kinds[id])) continue;
            _trie.Add(text, id);
            _texts.Add(id, text);
            _edges.Add(text, strips: stripsAfter);
        }
    }

    /// <summary>Cuts a text into tokens and the text between them; parts are not empty.</summary>
    internal List<Segment> Split(string text)
    {
        List<Segment> segments = [];
        if (text.Length > 0) segments.Add(new Segment(0, text.Length, -1));
        foreach (int id in Present(text))
        {
            string token = _texts[id];
            List<Segment> next = new(segments.Count);
            foreach (Segment segment in segments)
            {
                if (segment.Id >= 0) next.Add(segment);
                else Cut(text, segment, token, id, next);
            }
            segments = next;
        }
        return segments;
    }

    /// <summary>Whether both sides of a place are cut as the whole is, and text, no token, is in front of it.</summary>
    internal bool MayCut(CutPoint place) => _edges.MayCut(place);

    private void Cut(string text, Segment segment, string token, int id, List<Segment> parts)
    {
        int end = segment.Start + segment.Length;
        int done = segment.Start;
        bool strips = _stripsAfter && token is not ("<unk>" or "<s>" or "<|endoftext|>");
        while (true)
        {
            int found = text.AsSpan(done, end - done).IndexOf(token, StringComparison.Ordinal);
            if (found < 0) break;
            if (found > 0) parts.Add(new Segment(done, found, -1));
            parts.Add(new Segment(done + found, token.Length, id));
            done += found + token.Length;
            while (strips && done < end && (text[done] is ' ' or (>= '\t' and <= '\r'))) done++;
        }
        if (done < end) parts.Add(new Segment(done, end - done, -1));
    }

    // One walk over the text names the few tokens that occur at all, so that thousands of others cost nothing.
    private List<int> Present(string text)
    {
        HashSet<int> present = [];
        if (!_trie.IsEmpty)
        {
            for (int from = 0; _trie.TryFind(text, from, out int start, out _, out _); from = start + 1)
            {
                int node = 0;
                for (int i = start; i < text.Length; i++)
                {
                    node = _trie.Step(node, text[i]);
                    if (node < 0) break;
                    if (_trie.Value(node) >= 0) present.Add(_trie.Value(node));
                }
            }
        }
        List<int> ordered = [.. present];
        // UTF-8 lengths, because the file's own order is by bytes; equal lengths by id.
        ordered.Sort((a, b) =>
        {
            int byLength = System.Text.Encoding.UTF8.GetByteCount(_texts[b]).CompareTo(System.Text.Encoding.UTF8.GetByteCount(_texts[a]));
            return byLength != 0 ? byLength : a.CompareTo(b);
        });
        return ordered;
    }
}
