using System.Collections.Concurrent;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>Cuts a normalized and pre-tokenized piece of text into tokens.</summary>
internal interface ITokenModel
{
    Vocabulary Vocabulary { get; }

    /// <summary>Appends the ids of a piece of well-formed text.</summary>
    void Tokenize(ReadOnlySpan<char> piece, List<int> ids);

    /// <summary>Whether a piece may be cut between two characters into parts that give the ids of the whole.</summary>
    bool MayCut(char before, char after);
}

/// <summary>Remembers the ids of short pieces; most pieces of a text come many times.</summary>
internal sealed class PieceCache
{
    private const int LongestPiece = 64;
    private const int LargestCount = 100_000;
    private readonly ConcurrentDictionary<string, int[]> _pieces = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private int _count;

    internal PieceCache() => _lookup = _pieces.GetAlternateLookup<ReadOnlySpan<char>>();

    internal bool TryAppend(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (piece.Length > LongestPiece || !_lookup.TryGetValue(piece, out int[]? known)) return false;
        ids.AddRange(known);
        return true;
    }

    /// <summary>Stores what was appended for a piece from position <paramref name="from"/> of the ids on.</summary>
    internal void Store(ReadOnlySpan<char> piece, List<int> ids, int from)
    {
        // Counted apart: the dictionary's own count takes all its locks. A race can overshoot by a few entries, no more.
        if (piece.Length > LongestPiece || _count >= LargestCount) return;
        int[] made = new int[ids.Count - from];
        ids.CopyTo(from, made, 0, made.Length);
        if (_pieces.TryAdd(piece.ToString(), made)) Interlocked.Increment(ref _count);
    }
}
