using System.Buffers;
using System.Text;

namespace LowRankQuant.Models.Tokenizers.SentencePiece;

/// <summary>
/// Unigram model of SentencePiece: the segmentation with the largest sum of log probabilities (Viterbi). A character that no token
/// covers alone costs ten more than the rarest token; runs of unknown characters become bytes where the vocabulary has them, else one
/// unknown token.
/// </summary>
internal sealed class UnigramModel : ITokenModel
{
    private const float UnknownPenalty = 10f;
    private readonly float[] _scores;
    private readonly int _unknownId;
    private readonly int[] _byteTokens;
    private readonly bool _byteFallback;
    private readonly TokenTrie _trie = new();
    private readonly float _unknownScore;
    private readonly PieceCache _cache = new();

    /// <param name="vocabulary">All tokens.</param>
    /// <param name="scores">Log probabilities by id.</param>
    /// <param name="isMatched">By id, whether the token may be matched in text (normal and user-defined tokens).</param>
    /// <param name="unknownId">Id of the unknown token, -1 if there is none.</param>
    /// <param name="byteFallback">Spells unknown characters with byte tokens.</param>
    internal UnigramModel(Vocabulary vocabulary, float[] scores, bool[] isMatched, int unknownId, bool byteFallback)
    {
        Vocabulary = vocabulary;
        _scores = scores;
        _unknownId = unknownId;
        _byteTokens = vocabulary.ByteTokens();
        _byteFallback = byteFallback && Array.TrueForAll(_byteTokens, id => id >= 0);
        float lowest = 0;
        for (int id = 0; id < scores.Length; id++)
        {
            if (!isMatched[id] || vocabulary.Text(id) is not { } text) continue;
            _trie.Add(text, id);
            lowest = Math.Min(lowest, scores[id]);
        }
        _unknownScore = lowest - UnknownPenalty;
    }

    public Vocabulary Vocabulary { get; }

    public void Tokenize(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (piece.IsEmpty || _cache.TryAppend(piece, ids)) return;
        int from = ids.Count;
        float[] best = ArrayPool<float>.Shared.Rent(piece.Length + 1);
        int[] start = ArrayPool<int>.Shared.Rent(piece.Length + 1);
        int[] token = ArrayPool<int>.Shared.Rent(piece.Length + 1);
        Search(piece, best, start, token);
        Emit(piece, start, token, ids);
        ArrayPool<float>.Shared.Return(best);
        ArrayPool<int>.Shared.Return(start);
        ArrayPool<int>.Shared.Return(token);
        _cache.Store(piece, ids, from);
    }

    // Sums of single precision depend on where they begin, so that of two segmentations as likely another could win.
    public bool MayCut(char before, char after) => false;

    private void Search(ReadOnlySpan<char> piece, float[] best, int[] start, int[] token)
    {
        Array.Fill(start, -1, 0, piece.Length + 1);
        best[0] = 0;
        for (int at = 0; at < piece.Length;)
        {
            int width = Utf16.RuneLength(piece, at);
            bool single = false;
            int node = 0;
            for (int end = at; end < piece.Length;)
            {
                node = _trie.Step(node, piece[end]);
                if (node < 0) break;
                end++;
                int id = _trie.Value(node);
                if (id < 0) continue;
                single |= end - at == width;
                Offer(best[at] + _scores[id], end, at, id, best, start, token);
            }
            if (!single) Offer(best[at] + _unknownScore, at + width, at, -1, best, start, token);
            at += width;
        }
    }

    private static void Offer(float score, int end, int at, int id, float[] best, int[] start, int[] token)
    {
        if (start[end] >= 0 && score <= best[end]) return;
        best[end] = score;
        start[end] = at;
        token[end] = id;
    }

    private void Emit(ReadOnlySpan<char> piece, int[] start, int[] token, List<int> ids)
    {
        Stack<int> ends = new();
        for (int end = piece.Length; end > 0; end = start[end]) ends.Push(end);
        bool previousUnknown = false;
        Span<byte> utf8 = stackalloc byte[4];
        while (ends.TryPop(out int end))
        {
            if (token[end] >= 0)
            {
                ids.Add(token[end]);
                previousUnknown = false;
                continue;
            }
            if (_byteFallback)
            {
                int count = Encoding.UTF8.GetBytes(piece[start[end]..end], utf8);
                for (int b = 0; b < count; b++) ids.Add(_byteTokens[utf8[b]]);
                continue;
            }
            if (_unknownId < 0)
            {
                throw TokenizerException.For("text", piece[start[end]..end].ToString(),
                    "the vocabulary has no token for this character and no unknown token", "Remove the character or use another tokenizer.");
            }
            if (!previousUnknown) ids.Add(_unknownId);
            previousUnknown = true;
        }
    }
}
