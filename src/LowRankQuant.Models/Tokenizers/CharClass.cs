using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>The character classes that pre-tokenizer patterns speak of.</summary>
[Flags]
internal enum CharKind : byte
{
    None = 0,

    /// <summary>Unicode general category L.</summary>
    Letter = 1,

    /// <summary>Unicode general category N (decimal digits, letter numbers, other numbers).</summary>
    Number = 2,

    /// <summary>Unicode White_Space.</summary>
    Space = 4,

    /// <summary>Unicode general category P.</summary>
    Punctuation = 8,

    /// <summary>Carriage return or line feed.</summary>
    Newline = 16,

    /// <summary>A word character: letters, marks, decimal digits, letter numbers, connector punctuation and joiners.</summary>
    Word = 32,

    /// <summary>ASCII digit.</summary>
    AsciiDigit = 64,
}

/// <summary>Classifies characters by code point. Built-in regular expressions see UTF-16 units and miss astral letters and digits.</summary>
internal static class CharClass
{
    private static readonly CharKind[] Ascii = BuildAscii();

    /// <summary>Kind of the character at <paramref name="at"/> of a well-formed text, and its length in UTF-16 units.</summary>
    internal static CharKind At(ReadOnlySpan<char> text, int at, out int length)
    {
        char c = text[at];
        if (c < 128)
        {
            length = 1;
            return Ascii[c];
        }
        if (!char.IsSurrogate(c))
        {
            length = 1;
            return Classify(new Rune(c));
        }
        Rune.DecodeFromUtf16(text[at..], out Rune rune, out length);
        return Classify(rune);
    }

    internal static CharKind Classify(Rune rune)
    {
        CharKind kind = Rune.IsWhiteSpace(rune) ? CharKind.Space : CharKind.None;
        switch (Rune.GetUnicodeCategory(rune))
        {
            case UnicodeCategory.UppercaseLetter:
            case UnicodeCategory.LowercaseLetter:
            case UnicodeCategory.TitlecaseLetter:
            case UnicodeCategory.ModifierLetter:
            case UnicodeCategory.OtherLetter:
                return kind | CharKind.Letter | CharKind.Word;
            case UnicodeCategory.DecimalDigitNumber:
            case UnicodeCategory.LetterNumber:
                return kind | CharKind.Number | CharKind.Word;
            case UnicodeCategory.OtherNumber:
                return kind | CharKind.Number;
            case UnicodeCategory.NonSpacingMark:
            case UnicodeCategory.SpacingCombiningMark:
            case UnicodeCategory.EnclosingMark:
                return kind | CharKind.Word;
            case UnicodeCategory.ConnectorPunctuation:
                return kind | CharKind.Punctuation | CharKind.Word;
            case UnicodeCategory.DashPunctuation:
            case UnicodeCategory.OpenPunctuation:
            case UnicodeCategory.ClosePunctuation:
            case UnicodeCategory.InitialQuotePunctuation:
            case UnicodeCategory.FinalQuotePunctuation:
            case UnicodeCategory.OtherPunctuation:
                return kind | CharKind.Punctuation;
            case UnicodeCategory.Format:
                return rune.Value is 0x200C or 0x200D ? kind | CharKind.Word : kind;
            default:
                return kind;
        }
    }

    private static CharKind[] BuildAscii()
    {
        CharKind[] kinds = new CharKind[128];
        for (int c = 0; c < 128; c++)
        {
            kinds[c] = Classify(new Rune((char)c));
            if (c is '\r' or '\n') kinds[c] |= CharKind.Newline;
            if (c is >= '0' and <= '9') kinds[c] |= CharKind.AsciiDigit;
        }
        return kinds;
    }
}
