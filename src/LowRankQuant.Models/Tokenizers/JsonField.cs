using System.Globalization;
using System.Text.Json;
using LowRankQuant.Formats;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>A JSON value and its path in the file, so that every complaint can name the key.</summary>
internal readonly struct JsonField
{
    /// <summary>The largest tokenizer files in use have 35 MB.</summary>
    private const long LargestFile = 512L << 20;

    internal JsonField(JsonElement element, string path)
    {
        Element = element;
        Path = path;
    }

    internal JsonElement Element { get; }

    internal string Path { get; }

    internal bool IsNull => Element.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    /// <summary>Parses a file; the document must stay alive as long as its nodes.</summary>
    internal static JsonDocument Parse(Stream stream, string name)
    {
        if (stream.CanSeek && stream.Length > LargestFile)
        {
            throw TokenizerException.For(name, stream.Length.ToString(CultureInfo.InvariantCulture),
                $"a tokenizer file may have at most {LargestFile} bytes", "This is not a tokenizer file.");
        }
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return Guarded(() => JsonFile.Parse(bytes.ToArray(), name));
    }

    /// <summary>Parses a file by its path; the document must stay alive as long as its nodes.</summary>
    internal static JsonDocument ParseFile(string path) => Guarded(() => JsonFile.Parse(path, LargestFile));

    private static JsonDocument Guarded(Func<JsonDocument> parse)
    {
        try
        {
            return parse();
        }
        catch (CheckpointFormatException error)
        {
            string more = error.Message.Contains("surrogate", StringComparison.Ordinal) ? " A token must be well-formed Unicode." : "";
            throw new TokenizerException(error.Message + more, error);
        }
    }

    internal static JsonField Root(JsonDocument document, string name)
    {
        JsonField root = new(document.RootElement, name);
        root.Expect(JsonValueKind.Object);
        return root;
    }

    /// <summary>A member, undefined (which counts as null) when absent.</summary>
    internal JsonField Member(string name)
    {
        Expect(JsonValueKind.Object);
        string path = $"{Path}: {name}";
        if (Path.Contains(": ", StringComparison.Ordinal)) path = $"{Path}.{name}";
        return new JsonField(Element.TryGetProperty(name, out JsonElement value) ? value : default, path);
    }

    internal JsonField Required(string name, JsonValueKind kind)
    {
        JsonField member = Member(name);
        member.Expect(kind);
        return member;
    }

    internal IEnumerable<JsonField> Items()
    {
        Expect(JsonValueKind.Array);
        int index = 0;
        foreach (JsonElement item in Element.EnumerateArray()) yield return new JsonField(item, $"{Path}[{index++}]");
    }

    internal string Text()
    {
        Expect(JsonValueKind.String);
        try
        {
            return Element.GetString()!;
        }
        catch (InvalidOperationException error)
        {
            throw new TokenizerException($"{Path}: the text is not well-formed Unicode. The file is damaged; fetch it again.", error);
        }
    }

    internal string Text(string name) => Member(name).Text();

    internal string? TextOrNull(string name) => Member(name) is { IsNull: false } member ? member.Text() : null;

    internal bool Flag(string name, bool otherwise)
    {
        JsonField member = Member(name);
        if (member.IsNull) return otherwise;
        return member.Element.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw member.Wrong("must be true or false"),
        };
    }

    internal int Number()
    {
        Expect(JsonValueKind.Number);
        return Element.TryGetInt32(out int value) ? value : throw Wrong("must be a whole number of 32 bits");
    }

    internal int Number(string name, int otherwise) => Member(name) is { IsNull: false } member ? member.Number() : otherwise;

    internal char Letter(string name)
    {
        JsonField member = Member(name);
        string text = member.Text();
        return text.Length == 1 ? text[0] : throw member.Wrong("must be one character of the basic multilingual plane");
    }

    internal void Expect(JsonValueKind kind)
    {
        if (Element.ValueKind == kind) return;
        if (IsNull) throw TokenizerException.For(Path, null, $"missing or null, but must be {JsonFile.Name(kind)}", "The file is damaged; fetch it again.");
        throw Wrong($"must be {JsonFile.Name(kind)}, not {JsonFile.Name(Element.ValueKind)}");
    }

    internal TokenizerException Wrong(string rule, string remedy = "Correct the file or fetch it again.") =>
        TokenizerException.For(Path, Element.ValueKind switch { JsonValueKind.Undefined => null, JsonValueKind.String => Text(), _ => Element.GetRawText() }, rule, remedy);

    internal TokenizerException Unknown(string known) =>
        Wrong($"{(IsNull ? "missing or null, and so not known" : "this library does not know it")}; it knows {known}", "Use a tokenizer of another kind, or report the model.");
}
