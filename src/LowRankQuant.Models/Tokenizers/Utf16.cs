using System.Text;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>Helpers for UTF-16 text that need not be well-formed.</summary>
internal static class Utf16
{
    /// <summary>Replaces each lone surrogate by U+FFFD; returns the same string when there is none.</summary>
    internal static string ReplaceLoneSurrogates(string text)
    {
        int at = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        if (at < 0) return text;
        StringBuilder? repaired = null;
        int copied = 0;
        for (int i = at; i < text.Length; i++)
        {
            char c = text[i];
            if (!char.IsSurrogate(c)) continue;
            if (char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                i++;
                continue;
            }
            repaired ??= new StringBuilder(text.Length);
            repaired.Append(text, copied, i - copied).Append('\uFFFD');
            copied = i + 1;
        }
        return repaired is null ? text : repaired.Append(text, copied, text.Length - copied).ToString();
    }

    /// <summary>Number of UTF-16 units (1 or 2) of the character at <paramref name="at"/> of a well-formed text.</summary>
    internal static int RuneLength(ReadOnlySpan<char> text, int at) =>
        char.IsHighSurrogate(text[at]) && at + 1 < text.Length ? 2 : 1;

    /// <summary>Number of UTF-16 units (1 or 2) of the character that ends before <paramref name="end"/>.</summary>
    internal static int RuneLengthBefore(ReadOnlySpan<char> text, int end) =>
        char.IsLowSurrogate(text[end - 1]) && end > 1 && char.IsHighSurrogate(text[end - 2]) ? 2 : 1;
}
