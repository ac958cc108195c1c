using System.Buffers;
using System.Text;

namespace LowRankQuant.Models.Tokenizers.SentencePiece;

/// <summary>
/// Byte-pair encoding driven by scores, as in SentencePiece and in GGUF vocabularies of kind "llama": two neighbours may join when
/// their text together is a token; the highest score goes first, among equal scores the leftmost.
/// </summary>
internal sealed class SpmModel : ITokenModel
{
    private const int LongPiece = 256;
    private readonly float[] _scores;
    private readonly TokenKind[] _kinds;
    private readonly bool[] _joins;
    private readonly int[] _byteTokens;
    private readonly int _unknownId;
    private readonly bool _hasUnused;
    private readonly PieceCache _cache = new();
    private readonly Lazy<SafeSplitter> _splitter;

    /// <param name="vocabulary">All tokens.</param>
    /// <param name="scores">Scores by id.</param>
    /// <param name="kinds">Kinds by id.</param>
    /// <param name="joins">By id, whether text may become this token.</param>
    /// <param name="byteFallback">Spells unknown characters with byte tokens, where all 256 are there.</param>
    /// <param name="unknownId">Id of the unknown token, -1 if there is none.</param>
    internal SpmModel(Vocabulary vocabulary, float[] scores, TokenKind[] kinds, bool[] joins, bool byteFallback, int unknownId)
    {
        Vocabulary = vocabulary;
        _scores = scores;
        _kinds = kinds;
        _joins = joins;
        _unknownId = unknownId;
        int[] bytes = vocabulary.ByteTokens();
        _byteTokens = byteFallback && Array.TrueForAll(bytes, id => id >= 0) ? bytes : [];
        _hasUnused = Array.IndexOf(kinds, TokenKind.Unused) >= 0;
        _splitter = new Lazy<SafeSplitter>(() => new SafeSplitter(vocabulary.Entries.Where(entry => joins[entry.Value]).Select(entry => entry.Key)));
    }

    public Vocabulary Vocabulary { get; }

    internal IReadOnlyList<float> Scores => _scores;

    public void Tokenize(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (piece.Length <= LongPiece)
        {
            TokenizeCached(piece, ids);
            return;
        }
        SafeSplitter splitter = _splitter.Value;
        for (int start = 0; start < piece.Length;)
        {
            int end = splitter.NextEnd(piece, start);
            TokenizeCached(piece[start..end], ids);
            start = end;
        }
    }

    public bool MayCut(char before, char after) => _splitter.Value.MayCut(before, after);

    private void TokenizeCached(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (piece.IsEmpty || _cache.TryAppend(piece, ids)) return;
        int from = ids.Count;
        int[] length = ArrayPool<int>.Shared.Rent(piece.Length);
        int[] previous = ArrayPool<int>.Shared.Rent(piece.Length);
        Dictionary<string, int>? unused = _hasUnused ? new(StringComparer.Ordinal) : null;
        Join(piece, length, previous, unused);
        bool afterUnknown = false;
        for (int at = 0; at < piece.Length; at += length[at]) Emit(piece.Slice(at, length[at]), unused, ids, ref afterUnknown);
        ArrayPool<int>.Shared.Return(length);
        ArrayPool<int>.Shared.Return(previous);
        _cache.Store(piece, ids, from);
    }

    // A symbol is known by its first position; length[p] is 0 when p lies inside another symbol.
    private void Join(ReadOnlySpan<char> piece, int[] length, int[] previous, Dictionary<string, int>? unused)
    {
        List<(int Length, (float, int) Order)> first = new(piece.Length / 2);
        int before = -1;
        for (int at = 0; at < piece.Length;)
        {
            length[at] = Utf16.RuneLength(piece, at);
            if (length[at] == 2) length[at + 1] = 0;
            previous[at] = before;
            if (before >= 0 && TryJoin(piece, before, length[before], length[at], unused, out float score))
                first.Add((at + length[at] - before, (-score, before)));
            before = at;
            at += length[at];
        }
        PriorityQueue<int, (float, int)> queue = new(first);
        while (queue.TryDequeue(out int joined, out (float, int) order))
        {
            int left = order.Item2;
            int right = left + length[left];
            // Stale when one of the two has joined something else since.
            if (length[left] == 0 || right >= piece.Length || length[left] + length[right] != joined) continue;
            length[right] = 0;
            length[left] = joined;
            int next = left + joined;
            if (next < piece.Length)
            {
                previous[next] = left;
                if (TryJoin(piece, left, joined, length[next], unused, out float score)) queue.Enqueue(joined + length[next], (-score, left));
            }
            int start = previous[left];
            if (start >= 0 && TryJoin(piece, start, length[start], joined, unused, out float leftScore))
                queue.Enqueue(length[start] + joined, (-leftScore, start));
        }
    }

    private bool TryJoin(ReadOnlySpan<char> piece, int start, int left, int right, Dictionary<string, int>? unused, out float score)
    {
        score = 0;
        if (left + right > Vocabulary.LongestToken) return false;
        ReadOnlySpan<char> text = piece.Slice(start, left + right);
        if (!Vocabulary.TryGetId(text, out int id) || !_joins[id]) return false;
        score = _scores[id];
        if (unused is not null && _kinds[id] == TokenKind.Unused) unused[text.ToString()] = left;
        return true;
    }

    private void Emit(ReadOnlySpan<char> symbol, Dictionary<string, int>? unused, List<int> ids, ref bool afterUnknown)
    {
        if (Vocabulary.TryGetId(symbol, out int id) && _joins[id])
        {
            // An unused token only helps to reach longer ones; left over, it falls apart again.
            if (unused is not null && _kinds[id] == TokenKind.Unused && unused.TryGetValue(symbol.ToString(), out int left))
            {
                Emit(symbol[..left], unused, ids, ref afterUnknown);
                Emit(symbol[left..], unused, ids, ref afterUnknown);
                return;
            }
            ids.Add(id);
            afterUnknown = false;
            return;
        }
        if (_byteTokens.Length > 0)
        {
            Span<byte> utf8 = stackalloc byte[4];
            int count = Encoding.UTF8.GetBytes(symbol, utf8);
            for (int b = 0; b < count; b++) ids.Add(_byteTokens[utf8[b]]);
            return;
        }
        if (_unknownId < 0)
        {
            throw TokenizerException.For("text", symbol.ToString(),
                "the vocabulary has no token for this character, no byte tokens and no unknown token", "Remove the character.");
        }
        if (!afterUnknown) ids.Add(_unknownId);
        afterUnknown = true;
    }
}
