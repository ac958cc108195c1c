namespace LowRankQuant.Models.Tokenizers;

/// <summary>
/// Cuts a long text where no token can cross: between two characters that are tokens by themselves and never stand side by side
/// inside a longer token. The parts give the same ids as the whole, and they are short enough for the cache
/// (with vocabularies of the SentencePiece kind they are mostly words).
/// </summary>
internal sealed class SafeSplitter
{
    private readonly HashSet<uint> _neighbours = [];
    private readonly HashSet<char> _known = [];

    /// <param name="tokens">Every token that a merge can make, or that can be chosen as a whole, and every single character.</param>
    internal SafeSplitter(IEnumerable<string> tokens)
    {
        foreach (string token in tokens)
        {
            if (token.Length == 1 && !char.IsSurrogate(token[0])) _known.Add(token[0]);
            for (int i = 1; i < token.Length; i++) _neighbours.Add(Pair(token[i - 1], token[i]));
        }
    }

    /// <summary>End of the part that begins at <paramref name="start"/>.</summary>
    internal int NextEnd(ReadOnlySpan<char> text, int start)
    {
        for (int i = start + 1; i < text.Length; i++)
        {
            if (MayCut(text[i - 1], text[i])) return i;
        }
        return text.Length;
    }

    /// <summary>Whether a text may be cut between two characters.</summary>
    internal bool MayCut(char before, char after) => !_neighbours.Contains(Pair(before, after)) && _known.Contains(before) && _known.Contains(after);

    private static uint Pair(char left, char right) => ((uint)left << 16) | right;
}
