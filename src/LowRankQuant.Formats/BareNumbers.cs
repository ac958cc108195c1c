namespace LowRankQuant.Formats;

/// <summary>
/// Infinity, -Infinity and NaN as bare words, which Python's json writes and no JSON has: configurations of recurrent models hold them. They become numbers that are infinite when
/// they are read, 1e999 and -1e999, which Python reads as what it wrote; NaN becomes null.
/// </summary>
internal static class BareNumbers
{
    private static readonly (byte[] Word, byte[] Written)[] Words = [("Infinity"u8.ToArray(), "1e999"u8.ToArray()), ("NaN"u8.ToArray(), "null"u8.ToArray())];

    /// <summary>The text with such words written as JSON; null where there are none.</summary>
    /// <param name="utf8">The text.</param>
    public static byte[]? Written(ReadOnlySpan<byte> utf8)
    {
        List<byte>? written = null;
        int copied = 0;
        bool quoted = false;
        for (int i = 0; i < utf8.Length; i++)
        {
            if (quoted && utf8[i] == '\\') i++;
            else if (utf8[i] == '"') quoted = !quoted;
            else if (!quoted && utf8[i] is (byte)'I' or (byte)'N' && !IsLetter(utf8, i - 1))
            {
                foreach ((byte[] word, byte[] number) in Words)
                {
                    if (!utf8[i..].StartsWith(word) || IsLetter(utf8, i + word.Length)) continue;
                    written ??= [];
                    written.AddRange(utf8[copied..i]);
                    written.AddRange(number);
                    copied = i + word.Length;
                    i = copied - 1;
                    break;
                }
            }
        }
        if (written is null) return null;
        written.AddRange(utf8[copied..]);
        return [.. written];
    }

    private static bool IsLetter(ReadOnlySpan<byte> utf8, int at) => at >= 0 && at < utf8.Length && char.IsAsciiLetterOrDigit((char)utf8[at]);
}
