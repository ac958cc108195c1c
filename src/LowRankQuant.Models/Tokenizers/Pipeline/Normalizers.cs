using System.Text;

namespace LowRankQuant.Models.Tokenizers.Pipeline;

/// <summary>Rewrites a piece of text before it is cut, as the normalizers of tokenizer.json do.</summary>
internal abstract class Normalizer
{
    internal abstract string Apply(string text);

    /// <summary>Rewrites the rest of a piece that was cut where <see cref="MayCut"/> allows it.</summary>
    internal virtual string ApplyToRest(string text) => Apply(text);

    /// <summary>Whether both sides of a place are rewritten as the whole is; the place becomes that between the characters that are written there.</summary>
    internal abstract bool MayCut(ref CutPoint place);
}

internal sealed class SequenceNormalizer(Normalizer[] parts) : Normalizer
{
    internal Normalizer[] Parts => parts;

    internal override string Apply(string text)
    {
        foreach (Normalizer part in parts) text = part.Apply(text);
        return text;
    }

    internal override string ApplyToRest(string text)
    {
        foreach (Normalizer part in parts) text = part.ApplyToRest(text);
        return text;
    }

    internal override bool MayCut(ref CutPoint place)
    {
        foreach (Normalizer part in parts)
        {
            if (!part.MayCut(ref place)) return false;
        }
        return true;
    }
}

internal sealed class FormNormalizer(NormalizationForm form) : Normalizer
{
    internal NormalizationForm Form => form;

    internal override string Apply(string text) => UnicodeNormalizer.Normalize(text, form);

    internal override bool MayCut(ref CutPoint place) => UnicodeNormalizer.IsBoundary(place.Before, place.After, form);
}

internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    internal string Prefix => prefix;

    internal override string Apply(string text) => text.Length == 0 ? text : prefix + text;

    internal override string ApplyToRest(string text) => text;

    internal override bool MayCut(ref CutPoint place) => true;
}

internal sealed class ReplaceNormalizer(string pattern, string content) : Normalizer
{
    internal string Pattern => pattern;

    internal string Content => content;

    internal override string Apply(string text) => pattern.Length == 0 ? text : text.Replace(pattern, content, StringComparison.Ordinal);

    internal override bool MayCut(ref CutPoint place)
    {
        if (pattern.Length == 0) return true;
        if (place.MayLieWithin(pattern)) return false;
        bool endsHere = place.Before == pattern[^1], beginsHere = place.After == pattern[0];
        if (!endsHere && !beginsHere) return true;
        // Of a longer pattern one character does not tell whether it is replaced; of no content, what stands there then.
        if (pattern.Length > 1 || content.Length == 0) return false;
        place = place with { Before = endsHere ? content[^1] : place.Before, After = beginsHere ? content[0] : place.After };
        return !char.IsSurrogate(place.Before) && !char.IsSurrogate(place.After);
    }
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

    internal override bool MayCut(ref CutPoint place)
    {
        place = place with { Before = Apply(place.Before.ToString())[^1], After = Apply(place.After.ToString())[0] };
        return true;
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

    internal override string ApplyToRest(string text) => right ? text.TrimEnd() : text;

    // White space in front of the place may be at the beginning or the end of a part, but not of the whole.
    internal override bool MayCut(ref CutPoint place) => !char.IsWhiteSpace(place.Before);
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

    internal override bool MayCut(ref CutPoint place) => Apply(place.Before.ToString()).Length > 0 && Apply(place.After.ToString()).Length > 0;
}

/// <summary>Maps the text to the letters of the byte alphabet.</summary>
internal sealed class ByteLevelNormalizer : Normalizer
{
    internal override string Apply(string text)
    {
        char[] mapped = new char[checked(text.Length * 3)];
        return new string(mapped, 0, ByteAlphabet.Map(text, mapped));
    }

    internal override bool MayCut(ref CutPoint place)
    {
        place = ByteAlphabet.Map(place);
        return true;
    }
}
