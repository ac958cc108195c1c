using System.Text;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>Rewrites a piece of text before it is cut, as the normalizers of tokenizer.json do.</summary>
internal abstract class Normalizer
{
    internal abstract string Apply(string text);
}

internal sealed class SequenceNormalizer(Normalizer[] parts) : Normalizer
{
    internal Normalizer[] Parts => parts;

    internal override string Apply(string text)
    {
        foreach (Normalizer part in parts) text = part.Apply(text);
        return text;
    }
}

internal sealed class FormNormalizer(NormalizationForm form) : Normalizer
{
    internal override string Apply(string text) => UnicodeNormalizer.Normalize(text, form);
}

internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    internal string Prefix => prefix;

    internal override string Apply(string text) => text.Length == 0 ? text : prefix + text;
}

internal sealed class ReplaceNormalizer(string pattern, string content) : Normalizer
{
    internal string Pattern => pattern;

    internal string Content => content;

    internal override string Apply(string text) => pattern.Length == 0 ? text : text.Replace(pattern, content, StringComparison.Ordinal);
}

internal sealed class LowercaseNormalizer : Normalizer
{
    internal override string Apply(string text)
    {
        StringBuilder result = new(text.Length);
        Span<char> units = stackalloc char[2];
        foreach (Rune rune in text.EnumerateRunes())
        {
            // The one character whose lower case is longer than one code point, whatever stands around it.
            if (rune.Value == 0x130) result.Append("i\u0307");
            else result.Append(units[..Rune.ToLowerInvariant(rune).EncodeToUtf16(units)]);
        }
        return result.ToString();
    }
}

internal sealed class StripNormalizer(bool left, bool right) : Normalizer
{
    internal override string Apply(string text)
    {
        ReadOnlySpan<char> rest = text;
        if (left) rest = rest.TrimStart();
        if (right) rest = rest.TrimEnd();
        return rest.Length == text.Length ? text : rest.ToString();
    }
}

internal sealed class StripAccentsNormalizer : Normalizer
{
    internal override string Apply(string text)
    {
        StringBuilder result = new(text.Length);
        Span<char> units = stackalloc char[2];
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (Rune.GetUnicodeCategory(rune) != System.Globalization.UnicodeCategory.NonSpacingMark)
                result.Append(units[..rune.EncodeToUtf16(units)]);
        }
        return result.ToString();
    }
}

/// <summary>Maps the text to the letters of the byte alphabet.</summary>
internal sealed class ByteLevelNormalizer : Normalizer
{
    internal override string Apply(string text)
    {
        char[] mapped = new char[checked(text.Length * 3)];
        return new string(mapped, 0, ByteAlphabet.Map(text, mapped));
    }
}
