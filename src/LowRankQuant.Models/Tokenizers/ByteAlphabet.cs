using System.Text;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>
/// The byte-level alphabet of GPT-2: printable Latin-1 bytes stand for themselves, the other 68 bytes for U+0100 and up, in order.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Letters = BuildLetters();
    private static readonly short[] Bytes = BuildBytes();

    internal static char Letter(byte value) => Letters[value];

    /// <summary>The byte a letter stands for, or -1.</summary>
    internal static int Byte(char letter) => letter < Bytes.Length ? Bytes[letter] : -1;

    /// <summary>Writes the letters of the text's UTF-8 bytes; the target must hold three times the text's length.</summary>
    internal static int Map(ReadOnlySpan<char> text, Span<char> target)
    {
        int written = 0;
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = 0; i < text.Length;)
        {
            char c = text[i];
            if (c < 128)
            {
                target[written++] = Letters[c];
                i++;
                continue;
            }
            Rune.DecodeFromUtf16(text[i..], out Rune rune, out int length);
            int count = rune.EncodeToUtf8(utf8);
            for (int b = 0; b < count; b++) target[written++] = Letters[utf8[b]];
            i += length;
        }
        return written;
    }

    /// <summary>The place between the letters that the characters at a place become.</summary>
    internal static CutPoint Map(CutPoint place)
    {
        Span<char> letters = stackalloc char[3];
        int length = Map([place.Before], letters);
        char before = letters[length - 1];
        Map([place.After], letters);
        return place with { Before = before, After = letters[0] };
    }

    /// <summary>Appends the bytes of a token; a token with a letter outside the alphabet stands for its own UTF-8 bytes.</summary>
    internal static void AppendBytes(string token, List<byte> target)
    {
        int before = target.Count;
        foreach (char c in token)
        {
            int value = Byte(c);
            if (value < 0)
            {
                target.RemoveRange(before, target.Count - before);
                target.AddRange(Encoding.UTF8.GetBytes(token));
                return;
            }
            target.Add((byte)value);
        }
    }

    private static bool IsPrintable(int b) => b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);

    private static char[] BuildLetters()
    {
        char[] letters = new char[256];
        int next = 256;
        for (int b = 0; b < 256; b++) letters[b] = (char)(IsPrintable(b) ? b : next++);
        return letters;
    }

    private static short[] BuildBytes()
    {
        short[] bytes = new short[256 + 68];
        Array.Fill(bytes, (short)-1);
        for (int b = 0; b < 256; b++) bytes[Letters[b]] = (short)b;
        return bytes;
    }
}
