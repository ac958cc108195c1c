namespace LowRankQuant.Models.Tokenizers;

/// <summary>Where tokens that are searched for in a text cannot lie across a place, nor change what is on its other side.</summary>
internal sealed class TokenEdges
{
    private readonly HashSet<(char, char)> _neighbours = [];
    private readonly HashSet<char> _last = [];
    private readonly HashSet<char> _firstOfWords = [];
    private bool _strips;

    /// <summary>Adds a token.</summary>
    /// <param name="text">Its text; empty ones are ignored.</param>
    /// <param name="singleWord">Whether it counts only where no word character is beside it.</param>
    /// <param name="strips">Whether it takes white space beside it along.</param>
    internal void Add(string text, bool singleWord = false, bool strips = false)
    {
        if (text.Length == 0) return;
        for (int i = 1; i < text.Length; i++) _neighbours.Add((text[i - 1], text[i]));
        _last.Add(text[^1]);
        if (singleWord) _firstOfWords.Add(text[0]);
        _strips |= strips;
    }

    /// <summary>
    /// Whether the tokens found on both sides of a place are those of the whole, and what is in front of it is text: behind a token another text would
    /// begin, before which some tokenizers put a space.
    /// </summary>
    internal bool MayCut(CutPoint place) =>
        !_neighbours.Contains((place.Before, place.After)) && !_last.Contains(place.Before) && !_firstOfWords.Contains(place.After)
        && !(_strips && char.IsWhiteSpace(place.Before));
}
