using System.Globalization;
using System.Text;

namespace LowRankQuant.Evaluation;

/// <summary>Strings as Python sees them, since the harnesses' prompts and metrics are made of its methods.</summary>
internal static class PythonText
{
    /// <summary><c>str.isspace</c> of one character: .NET's white space and the four separators U+001C to U+001F.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001c' and <= '\u001f';

    /// <summary><c>str.strip()</c>.</summary>
    public static string Strip(string text)
    {
        int start = 0;
        while (start < text.Length && IsSpace(text[start])) start++;
        int end = text.Length - TrailingSpaces(text);
        return start >= end ? "" : text[start..end];
    }

    /// <summary>How many characters <c>str.rstrip()</c> takes away.</summary>
    public static int TrailingSpaces(string text)
    {
        int count = 0;
        while (count < text.Length && IsSpace(text[^(count + 1)])) count++;
        return count;
    }

    /// <summary><c>len(str)</c>: Unicode code points; a lone surrogate counts as one.</summary>
    public static int Length(string text)
    {
        int count = 0;
        foreach (Rune _ in text.EnumerateRunes()) count++;
        return count;
    }

    /// <summary>The UTF-16 index of a code point's index.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The text has fewer code points.</exception>
    public static int Utf16Index(string text, int codePoint)
    {
        int index = 0;
        for (int i = 0; i < codePoint; i++)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, text.Length, nameof(codePoint));
            index += char.IsHighSurrogate(text[index]) && index + 1 < text.Length && char.IsLowSurrogate(text[index + 1]) ? 2 : 1;
        }
        return index;
    }

    /// <summary><c>str.capitalize()</c>: the first character in title case, all others in lower case.</summary>
    public static string Capitalize(string text)
    {
        if (text.Length == 0) return text;
        int first = char.IsHighSurrogate(text[0]) && text.Length > 1 ? 2 : 1;
        string head = text[..first];
        // The one letter of common languages whose title case is two letters, which .NET leaves as it is.
        head = head == "ß" ? "Ss" : CultureInfo.InvariantCulture.TextInfo.ToTitleCase(head);
        return head + text[first..].ToLowerInvariant();
    }

    /// <summary>The first character in lower case, the others as they are.</summary>
    public static string LowerFirst(string text)
    {
        if (text.Length == 0) return text;
        int first = char.IsHighSurrogate(text[0]) && text.Length > 1 ? 2 : 1;
        return text[..first].ToLowerInvariant() + text[first..];
    }
}
