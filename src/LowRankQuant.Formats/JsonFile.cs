using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;

namespace LowRankQuant.Formats;

/// <summary>
/// Reads JSON files as people have them: a byte order mark is skipped; a folder, a git-lfs pointer, a web page, another encoding, a text that is cut
/// short, a key that occurs twice and half a surrogate pair are each named, with line and column. Sizes are checked before anything is read.
/// </summary>
public static class JsonFile
{
    /// <summary>Largest file where a caller names no limit: beyond any configuration.</summary>
    public const long DefaultLargest = 64L << 20;

    /// <summary>Kind of the exceptions, see <see cref="CheckpointFormatException.Kind"/>, where a caller names none.</summary>
    public const string DefaultKind = "json";

    /// <summary>Parses a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="largest">Largest number of bytes.</param>
    /// <param name="depth">Deepest nesting.</param>
    /// <param name="kind">Kind of the exceptions.</param>
    /// <returns>The document; the caller disposes of it. Its strings are sound.</returns>
    /// <exception cref="CheckpointFormatException">It is absent, a folder, too large, another kind of file, or no sound JSON.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static JsonDocument Parse(string file, long largest = DefaultLargest, int depth = JsonSyntax.DefaultDepth, string kind = DefaultKind) =>
        Parse(ReadBytes(file, largest, kind), file, depth, kind);

    /// <summary>Parses bytes that come from a file.</summary>
    /// <param name="utf8">The text; a byte order mark may precede it. Must not change while the document is used.</param>
    /// <param name="file">The file, for messages.</param>
    /// <param name="depth">Deepest nesting.</param>
    /// <param name="kind">Kind of the exceptions.</param>
    /// <exception cref="CheckpointFormatException">No sound JSON.</exception>
    public static JsonDocument Parse(ReadOnlyMemory<byte> utf8, string file, int depth = JsonSyntax.DefaultDepth, string kind = DefaultKind)
    {
        if (utf8.Span.StartsWith(ByteOrderMark)) utf8 = utf8[ByteOrderMark.Length..];
        if (JsonSyntax.EncodingProblem(utf8.Span) is { } encoding) throw new CheckpointFormatException(kind, file, null, encoding);
        try
        {
            JsonDocument document = JsonDocument.Parse(utf8, new JsonDocumentOptions { MaxDepth = depth, AllowDuplicateProperties = false });
            // Strings are decoded when they are asked for; half a surrogate pair must be found now.
            if (!MayHaveLoneSurrogate(utf8.Span) || JsonSyntax.ProblemOf(utf8.Span, depth) is not { } problem) return document;
            document.Dispose();
            throw new CheckpointFormatException(kind, file, null, problem);
        }
        catch (Exception bad) when (bad is JsonException or InvalidOperationException)
        {
            if (BareNumbers.Written(utf8.Span) is { } written) return Parse(written, file, depth, kind);
            string problem = FileKind.Foreign(utf8.Span[..Math.Min(utf8.Length, 512)]) ?? JsonSyntax.ProblemOf(utf8.Span, depth) ?? "not valid JSON.";
            throw new CheckpointFormatException(kind, file, null, problem, bad);
        }
    }

    /// <summary>Reads a file whose top level is an object.</summary>
    /// <inheritdoc cref="Parse(string, long, int, string)"/>
    public static JsonObject ReadObject(string file, long largest = DefaultLargest, int depth = JsonSyntax.DefaultDepth, string kind = DefaultKind)
    {
        using JsonDocument document = Parse(file, largest, depth, kind);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new CheckpointFormatException(kind, file, null, $"the top level is {Name(document.RootElement.ValueKind)}; it must be an object.");
        return JsonObject.Create(document.RootElement.Clone())!;
    }

    /// <summary>Reads a file into an object of a known type.</summary>
    /// <param name="file">The file.</param>
    /// <param name="type">The type; keys that it does not know are skipped or refused as its options say.</param>
    /// <param name="largest">Largest number of bytes.</param>
    /// <param name="kind">Kind of the exceptions.</param>
    /// <exception cref="CheckpointFormatException">As for <see cref="Parse(string, long, int, string)"/>, or a value has another type than its key asks for.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static T Deserialize<T>(string file, JsonTypeInfo<T> type, long largest = DefaultLargest, string kind = DefaultKind)
        where T : class
    {
        using JsonDocument document = Parse(file, largest, kind: kind);
        try
        {
            return document.Deserialize(type) ?? throw new CheckpointFormatException(kind, file, null, "holds null; an object belongs here.");
        }
        catch (JsonException bad)
        {
            string key = bad.Path is { Length: > 2 } path ? path[2..] : "";
            throw new CheckpointFormatException(kind, file, key.Length == 0 ? null : key, "the value is of another type than this key has, or a key is missing.", bad);
        }
    }

    /// <summary>The bytes of a JSON file, without a byte order mark.</summary>
    /// <exception cref="CheckpointFormatException">The file is absent, a folder or too large.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[] ReadBytes(string file, long largest = DefaultLargest, string kind = DefaultKind)
    {
        if (Directory.Exists(file)) throw new CheckpointFormatException(kind, file, null, "is a folder; a file belongs here.");
        if (!File.Exists(file)) throw new CheckpointFormatException(kind, file, null, "does not exist.");
        long length = FileLength.Of(file);
        if (length > largest) throw new CheckpointFormatException(kind, file, null, $"has {length} bytes; a file of this kind has at most {largest}.");
        byte[] bytes = File.ReadAllBytes(file);
        return bytes.AsSpan().StartsWith(ByteOrderMark) ? bytes[ByteOrderMark.Length..] : bytes;
    }

    /// <summary>A JSON type in the words of messages.</summary>
    public static string Name(JsonValueKind kind) => kind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "true or false",
        _ => "null",
    };

    private static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    // \ud800 to \udfff, alone or in pairs.
    private static bool MayHaveLoneSurrogate(ReadOnlySpan<byte> utf8) => utf8.IndexOf("\\ud"u8) >= 0 || utf8.IndexOf("\\uD"u8) >= 0;
}
