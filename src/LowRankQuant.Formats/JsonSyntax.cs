using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace LowRankQuant.Formats;

/// <summary>Says in plain words, with line and column, what is wrong with a JSON text.</summary>
public static class JsonSyntax
{
    /// <summary>Deepest nesting where a caller names none.</summary>
    public const int DefaultDepth = 64;

    private const string Remedy = "correct the file or download it again.";

    /// <summary>The first fault of a text.</summary>
    /// <param name="utf8">The text, without a byte order mark.</param>
    /// <param name="depth">Deepest nesting that is allowed.</param>
    /// <param name="duplicates">Whether a key may occur twice in an object.</param>
    /// <returns>
    /// The rest of a sentence that begins with the file's name, such as <c>not valid JSON: line 3, column 7: unexpected '}'; ...</c>; null for a sound
    /// text.
    /// </returns>
    public static string? ProblemOf(ReadOnlySpan<byte> utf8, int depth = DefaultDepth, bool duplicates = false)
    {
        if (utf8.Trim(" \t\r\n"u8).IsEmpty) return "not valid JSON: the file is empty; download it again.";
        if (EncodingProblem(utf8) is { } encoding) return encoding;
        // As if more could follow: what is wrong then is wrong by itself, and what is missing then is missing at the end.
        var reader = new Utf8JsonReader(utf8, isFinalBlock: false, new JsonReaderState(new JsonReaderOptions { MaxDepth = depth + 1 }));
        var names = new Stack<HashSet<string>>();
        bool any = false;
        try
        {
            while (reader.Read())
            {
                any = true;
                if (reader.CurrentDepth >= depth && reader.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray)
                    return $"nested more than {depth} levels deep at {Place(utf8, reader.TokenStartIndex)}, which is deeper than any such file is.";
                switch (reader.TokenType)
                {
                    case JsonTokenType.StartObject:
                        names.Push(new HashSet<string>(StringComparer.Ordinal));
                        break;
                    case JsonTokenType.EndObject:
                        names.Pop();
                        break;
                    case JsonTokenType.PropertyName when !names.Peek().Add(reader.GetString()!) && !duplicates:
                        return $"not valid JSON: {Place(utf8, reader.TokenStartIndex)}: the key '{Shown(reader.GetString()!)}' occurs twice in one object; {Remedy}";
                    case JsonTokenType.String:
                        reader.GetString();
                        break;
                }
            }
        }
        catch (JsonException bad)
        {
            long at = Offset(utf8, bad);
            if (at >= utf8.Length) return CutShort(utf8);
            return $"not valid JSON: {Place(utf8, at)}: unexpected {Character(utf8[(int)at..])}; {Remedy}";
        }
        catch (InvalidOperationException)
        {
            return $"not valid JSON: {Place(utf8, reader.TokenStartIndex)}: half of a surrogate pair (\\ud800 to \\udfff alone), which is no character; {Remedy}";
        }
        bool complete = any && reader.CurrentDepth == 0 && reader.TokenType is not (JsonTokenType.StartArray or JsonTokenType.StartObject)
            && utf8[(int)reader.BytesConsumed..].Trim(" \t\r\n"u8).IsEmpty;
        return complete || IsNumber(utf8) ? null : CutShort(utf8);
    }

    /// <summary>Text whose bytes are no UTF-8: named where it is UTF-16 or UTF-32. Null where it is UTF-8.</summary>
    internal static string? EncodingProblem(ReadOnlySpan<byte> bytes)
    {
        bool wide = bytes.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE]) || bytes.StartsWith((ReadOnlySpan<byte>)[0xFE, 0xFF]);
        if (wide || (bytes.Length > 1 && (bytes[0] == 0 || bytes[1] == 0))) return "is text in UTF-16 or UTF-32; JSON files are UTF-8: save it in that encoding.";
        if (Utf8.IsValid(bytes)) return null;
        int good = 0;
        while (good < bytes.Length && Rune.DecodeFromUtf8(bytes[good..], out _, out int length) == System.Buffers.OperationStatus.Done) good += length;
        return $"not valid UTF-8: {Place(bytes, good)}: byte 0x{bytes[good]:X2}; {Remedy}";
    }

    /// <summary>Line and column, both from 1, of a byte; a column is a character.</summary>
    internal static string Place(ReadOnlySpan<byte> utf8, long offset)
    {
        ReadOnlySpan<byte> before = utf8[..(int)Math.Min(offset, utf8.Length)];
        int line = before.Count((byte)'\n') + 1, start = before.LastIndexOf((byte)'\n') + 1, column = 1;
        foreach (byte unit in before[start..])
        {
            if ((unit & 0xC0) != 0x80) column++;
        }
        return string.Create(CultureInfo.InvariantCulture, $"line {line}, column {column}");
    }

    private static string CutShort(ReadOnlySpan<byte> utf8) =>
        $"not valid JSON: the text ends too early (line {utf8.Count((byte)'\n') + 1}): the file is cut short; download it again.";

    private static long Offset(ReadOnlySpan<byte> utf8, JsonException bad)
    {
        long start = 0;
        for (long line = 0; line < (bad.LineNumber ?? 0); line++)
        {
            int end = utf8[(int)start..].IndexOf((byte)'\n');
            if (end < 0) break;
            start += end + 1;
        }
        return start + (bad.BytePositionInLine ?? 0);
    }

    private static string Character(ReadOnlySpan<byte> at)
    {
        Rune.DecodeFromUtf8(at, out Rune rune, out _);
        return rune.Value < ' ' || Rune.IsControl(rune) ? $"character U+{rune.Value:X4}" : $"'{rune}'";
    }

    // A number at the top level may always go on.
    private static bool IsNumber(ReadOnlySpan<byte> utf8) =>
        double.TryParse(utf8.Trim(" \t\r\n"u8), NumberStyles.Float, CultureInfo.InvariantCulture, out _);

    private static string Shown(string key) => key.Length > 80 ? key[..80] + "..." : key;
}
