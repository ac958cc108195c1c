using System.Text;
using System.Text.Json;

namespace LowRankQuant.Quantization.Texts;

/// <summary>What is wrong with a JSON text, and where; lines and columns count from 1, columns in UTF-16 units.</summary>
internal readonly record struct JsonFault(int Line, int Column, string What)
{
    /// <summary>The fault within a text that begins at a place of another one.</summary>
    public JsonFault From(int line, int column) => new(line + Line - 1, Line == 1 ? column + Column - 1 : Column, What);

    /// <summary>Place and fault as a message goes on behind the file's name.</summary>
    public override string ToString() => $"line {Line}, column {Column}: not sound JSON: {What}";
}

/// <summary>JSON of unknown origin: half surrogate pairs are read as U+FFFD and counted, faults are told in plain words.</summary>
internal static class JsonText
{
    /// <summary>Deepest nesting.</summary>
    public const int Depth = 64;

    private const int EscapeLength = 6;
    private const string Cut = "the text ends within a value";

    /// <summary>Parses a text that holds one value.</summary>
    /// <param name="text">The text.</param>
    /// <param name="replaced">Grows by the number of escapes that are half of a surrogate pair, each read as U+FFFD.</param>
    /// <param name="fault">What is wrong; null when nothing is.</param>
    /// <param name="lenient">Takes comments and commas behind the last element.</param>
    /// <returns>The value, whose objects have no key twice; null with a fault.</returns>
    public static JsonDocument? Parse(string text, ref int replaced, out JsonFault? fault, bool lenient = false)
    {
        text = WithoutLoneSurrogates(text, ref replaced);
        var options = new JsonDocumentOptions
        {
            MaxDepth = Depth,
            AllowDuplicateProperties = false,
            AllowTrailingCommas = lenient,
            CommentHandling = lenient ? JsonCommentHandling.Skip : JsonCommentHandling.Disallow,
        };
        fault = null;
        try
        {
            return JsonDocument.Parse(text, options);
        }
        catch (JsonException failure)
        {
            fault = Fault(text, failure, options);
            return null;
        }
    }

    /// <summary>A value as messages show it: short.</summary>
    public static string Shown(JsonElement element)
    {
        string text = element.GetRawText();
        return text.Length <= 40 ? text : text[..40] + "...";
    }

    /// <summary>A type in words.</summary>
    public static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a text",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "true or false",
        _ => "null",
    };

    /// <summary>Escapes <c>\ud800</c> to <c>\udfff</c> that are not in pairs, as <c>\ufffd</c>.</summary>
    internal static string WithoutLoneSurrogates(string json, ref int replaced)
    {
        if (!json.Contains("\\ud", StringComparison.OrdinalIgnoreCase)) return json;
        // A replacement is as long as what it replaces, so a text full of them costs no more than its length.
        char[]? changed = null;
        for (int at = json.IndexOf('\\'); at >= 0 && at + 1 < json.Length;)
        {
            int next = at + 2;
            if (Escaped(json, at) is { } unit && char.IsSurrogate(unit))
            {
                bool pair = char.IsHighSurrogate(unit) && Escaped(json, at + EscapeLength) is { } low && char.IsLowSurrogate(low);
                next = at + (pair ? 2 : 1) * EscapeLength;
                if (!pair)
                {
                    changed ??= json.ToCharArray();
                    "\\ufffd".CopyTo(changed.AsSpan(at));
                    replaced++;
                }
            }
            at = next < json.Length ? json.IndexOf('\\', next) : -1;
        }
        return changed is null ? json : new string(changed);
    }

    private static char? Escaped(string json, int at)
    {
        if (at + EscapeLength > json.Length || json[at] != '\\' || json[at + 1] != 'u') return null;
        return ushort.TryParse(json.AsSpan(at + 2, 4), System.Globalization.NumberStyles.AllowHexSpecifier, null, out ushort unit) ? (char)unit : null;
    }

    private static JsonFault Fault(string text, JsonException failure, JsonDocumentOptions options)
    {
        if (DuplicateKey(text, options) is { } key) return new JsonFault(1, 1, $"the key '{key}' is there twice in one object");
        int start = 0, line = (int)(failure.LineNumber ?? 0);
        for (int i = 0; i < line; i++) start = text.IndexOf('\n', start) + 1;
        int at = start;
        // The position is told in bytes of UTF-8.
        for (long bytes = failure.BytePositionInLine ?? 0; bytes > 0 && at < text.Length;)
        {
            Rune.DecodeFromUtf16(text.AsSpan(at), out Rune rune, out int length);
            bytes -= rune.Utf8SequenceLength;
            at += length;
        }
        // What is missing at the end is told at the last character.
        bool cut = at >= text.TrimEnd().Length - 1 && Open(text, text.Length) is var (depth, quoted) && (depth > 0 || quoted);
        string what = Open(text, at + 1).Depth > Depth ? $"nested more than {Depth} levels deep" : cut ? Cut : What(text, at);
        return new JsonFault(line + 1, at - start + 1, what);
    }

    /// <summary>What a character is that does not belong where it stands.</summary>
    internal static string What(string text, int at)
    {
        if (string.IsNullOrWhiteSpace(text[Math.Min(at, text.Length)..])) return Cut;
        char c = text[at];
        return c switch
        {
            ']' or '}' => $"'{c}' where a value or key must stand (a comma too many in front of it?)",
            ',' or ':' => $"'{c}' where a value or key must stand",
            'N' or 'I' or 'a' or 'n' or '-' when Word(text, at) is "NaN" or "Infinity" or "-Infinity" => $"{Word(text, at)} is no number of JSON; write null",
            '\'' => "a single quote; texts and keys stand in double quotes",
            '/' or '#' => "comments are not allowed",
            < ' ' => $"the control character U+{(int)c:X4} within a text; write it as an escape such as \\n",
            _ => $"unexpected '{(Rune.TryGetRuneAt(text, at, out Rune rune) ? rune : new Rune('\uFFFD'))}'",
        };
    }

    private static string Word(string text, int at)
    {
        int start = at, end = at;
        while (start > 0 && (char.IsLetter(text[start - 1]) || text[start - 1] == '-')) start--;
        while (end < text.Length && (char.IsLetter(text[end]) || (end == start && text[end] == '-'))) end++;
        return text[start..end];
    }

    /// <summary>How deep brackets are open in front of a place, and whether a text is.</summary>
    private static (int Depth, bool Quoted) Open(string text, int end)
    {
        int depth = 0;
        bool quoted = false;
        for (int i = 0; i < Math.Min(end, text.Length); i++)
        {
            switch (text[i])
            {
                case '\\' when quoted:
                    i++;
                    break;
                case '"':
                    quoted = !quoted;
                    break;
                case '{' or '[' when !quoted:
                    depth++;
                    break;
                case '}' or ']' when !quoted:
                    depth--;
                    break;
            }
        }
        return (depth, quoted);
    }

    private static string? DuplicateKey(string text, JsonDocumentOptions options)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, options with { AllowDuplicateProperties = true });
            return Find(document.RootElement);
        }
        catch (JsonException)
        {
            return null;
        }

        static string? Find(JsonElement element)
        {
            if (element.ValueKind == JsonValueKind.Array) return element.EnumerateArray().Select(Find).FirstOrDefault(key => key is not null);
            if (element.ValueKind != JsonValueKind.Object) return null;
            var names = new HashSet<string>(StringComparer.Ordinal);
            foreach (JsonProperty property in element.EnumerateObject())
            {
                if (!names.Add(property.Name)) return property.Name;
                if (Find(property.Value) is { } inner) return inner;
            }
            return null;
        }
    }
}
