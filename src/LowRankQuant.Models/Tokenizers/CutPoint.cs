namespace LowRankQuant.Models.Tokenizers;

/// <summary>
/// A place between two characters of a text where the text might be cut into parts that are tokenized one after the other. The stages of a tokenizer
/// look at it in their order: each says whether it works on both sides as it would on the whole, whatever else stands there, and hands on what the two
/// characters become. Neither character is a surrogate.
/// </summary>
/// <param name="Before">The character in front of the place.</param>
/// <param name="After">The character behind it.</param>
/// <param name="IsParted">Whether a stage always parts the text here anyway: later stages then see both sides apart.</param>
internal readonly record struct CutPoint(char Before, char After, bool IsParted = false)
{
    /// <summary>Whether a fixed text may lie across the place.</summary>
    public bool MayLieWithin(string text)
    {
        for (int i = 1; i < text.Length; i++)
        {
            if (text[i - 1] == Before && text[i] == After) return true;
        }
        return false;
    }
}

/// <summary>What a pattern says about a place between two characters.</summary>
internal enum PatternEdge
{
    /// <summary>A match may lie across the place, or what is matched on one side depends on the other.</summary>
    Crossed,

    /// <summary>No match lies across it.</summary>
    Uncrossed,

    /// <summary>No match lies across it, and one always ends or begins there.</summary>
    Edge,
}
