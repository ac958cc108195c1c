using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>One calibration file: its format, hash and documents, read only as far as they are asked for.</summary>
internal sealed class CalibrationFile
{
    // Longer lines are no documents but damage or attack; a compressed file of some kilobytes can hold gigabytes.
    private const int LongestJsonLine = 1 << 26;
    private readonly string _path;
    private readonly string _textField;
    private readonly CalibrationFormat _format;

    public CalibrationFile(string path, CalibrationFormat format, string textField)
    {
        if (!File.Exists(path))
            throw new CalibrationException($"Calibration source '{path}' is no file. Name a text, JSON or ids file, or '{CalibrationOptions.Self}'.");
        _path = path;
        _textField = textField;
        _format = format == CalibrationFormat.Auto ? FormatOf(path) : format;
    }

    private bool Compressed => _path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase);

    public CalibrationSource Describe()
    {
        using FileStream stream = File.OpenRead(_path);
        return new CalibrationSource(_path, stream.Length, Convert.ToHexStringLower(SHA256.HashData(stream)));
    }

    /// <summary>The documents in order; each is used up before the next is asked for.</summary>
    /// <param name="separators">Lines that end a document of a text file.</param>
    /// <exception cref="CalibrationException">The file is not what its format says.</exception>
    public IEnumerable<CalibrationDocument> Documents(IReadOnlyCollection<string> separators)
    {
        using IEnumerator<CalibrationDocument> documents = Open(separators).GetEnumerator();
        while (true)
        {
            if (!Guarded(documents.MoveNext)) yield break;
            yield return documents.Current;
        }
    }

    /// <summary>Runs a read of this file and turns what damaged files throw into one kind of exception.</summary>
    public T Guarded<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (DecoderFallbackException failure)
        {
            throw new CalibrationException($"'{_path}' is not UTF-8 text. Convert it, or name the right --format.", failure);
        }
        catch (InvalidDataException failure)
        {
            throw new CalibrationException($"'{_path}' is not a sound gzip file: {failure.Message}", failure);
        }
        catch (JsonException failure)
        {
            throw new CalibrationException($"'{_path}' is not sound JSON: {failure.Message}", failure);
        }
    }

    private static CalibrationFormat FormatOf(string path)
    {
        string name = path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? path[..^3] : path;
        if (name.EndsWith(".ids", StringComparison.OrdinalIgnoreCase)) return CalibrationFormat.Ids;
        if (name.EndsWith(".ids.jsonl", StringComparison.OrdinalIgnoreCase)) return CalibrationFormat.Ids;
        if (name.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase)) return CalibrationFormat.JsonLines;
        return name.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? CalibrationFormat.Json : CalibrationFormat.Text;
    }

    private IEnumerable<CalibrationDocument> Open(IReadOnlyCollection<string> separators) => _format switch
    {
        CalibrationFormat.Ids => IdsDocuments(),
        CalibrationFormat.JsonLines => JsonLinesDocuments(),
        CalibrationFormat.Json => JsonDocuments(),
        _ => TextDocuments(separators),
    };

    private Stream OpenBytes()
    {
        FileStream file = File.OpenRead(_path);
        return Compressed ? new GZipStream(file, CompressionMode.Decompress) : file;
    }

    private StreamReader OpenText() => new(OpenBytes(), new UTF8Encoding(false, throwOnInvalidBytes: true), detectEncodingFromByteOrderMarks: true);

    private IEnumerable<CalibrationDocument> TextDocuments(IReadOnlyCollection<string> separators)
    {
        using StreamReader reader = OpenText();
        var lines = new LineScanner(reader);
        TextFileDocument document;
        var rest = new StringBuilder();
        do
        {
            document = new TextFileDocument(lines, separators);
            yield return document;
            while (document.Read(rest, 1 << 16)) rest.Clear();
            rest.Clear();
        }
        while (!document.FileEnded);
    }

    private IEnumerable<CalibrationDocument> JsonLinesDocuments()
    {
        foreach ((int number, string line) in Lines())
        {
            using JsonDocument json = ParseLine(number, line);
            yield return new StringDocument(TextOf(json.RootElement, $"line {number}"));
        }
    }

    private IEnumerable<CalibrationDocument> IdsDocuments()
    {
        foreach ((int number, string line) in Lines())
        {
            using JsonDocument json = ParseLine(number, line);
            if (json.RootElement.ValueKind != JsonValueKind.Array) throw Wrong($"line {number} is no array of token ids");
            var ids = new int[json.RootElement.GetArrayLength()];
            int i = 0;
            foreach (JsonElement element in json.RootElement.EnumerateArray())
            {
                if (element.ValueKind != JsonValueKind.Number || !element.TryGetInt32(out ids[i]))
                    throw Wrong($"line {number}, element {i}: {Short(element)} is no token id");
                i++;
            }
            yield return new IdsDocument(ids);
        }
    }

    private IEnumerable<CalibrationDocument> JsonDocuments()
    {
        int first = FirstCharacter();
        if (first != '[') return first == '{' && !FirstLineIsDocument() ? WrappedDocuments() : JsonLinesDocuments();
        return ArrayDocuments();
    }

    private IEnumerable<CalibrationDocument> ArrayDocuments()
    {
        // The serializer streams a root array only by its asynchronous interface.
        using Stream stream = OpenBytes();
        int i = 0;
        foreach (JsonElement element in JsonSerializer.DeserializeAsyncEnumerable<JsonElement>(stream).ToBlockingEnumerable())
            yield return new StringDocument(TextOf(element, $"element {i++}"));
    }

    private IEnumerable<CalibrationDocument> WrappedDocuments()
    {
        using Stream stream = OpenBytes();
        using JsonDocument json = JsonDocument.Parse(stream);
        JsonElement array = ArrayIn(json.RootElement);
        int i = 0;
        foreach (JsonElement element in array.EnumerateArray()) yield return new StringDocument(TextOf(element, $"element {i++}"));
    }

    private JsonElement ArrayIn(JsonElement root)
    {
        if (root.TryGetProperty(_textField, out JsonElement named) && named.ValueKind == JsonValueKind.Array) return named;
        JsonElement[] arrays = [.. root.EnumerateObject().Select(property => property.Value).Where(value => value.ValueKind == JsonValueKind.Array)];
        return arrays.Length == 1 ? arrays[0] : throw Wrong($"the object holds {arrays.Length} arrays and none is named '{_textField}'");
    }

    /// <summary>Published sets often call JSON lines <c>.json</c>.</summary>
    private bool FirstLineIsDocument()
    {
        foreach ((_, string line) in Lines())
        {
            try
            {
                using JsonDocument json = JsonDocument.Parse(line);
                return json.RootElement.ValueKind != JsonValueKind.Object || ArraysOf(json.RootElement) == 0 || HasText(json.RootElement);
            }
            catch (JsonException)
            {
                return false;
            }
        }
        return true;

        static int ArraysOf(JsonElement element) => element.EnumerateObject().Count(property => property.Value.ValueKind == JsonValueKind.Array);

        bool HasText(JsonElement element) => element.TryGetProperty(_textField, out JsonElement text) && text.ValueKind == JsonValueKind.String;
    }

    private int FirstCharacter()
    {
        using StreamReader reader = OpenText();
        int c;
        do c = reader.Read();
        while (c is ' ' or '\t' or '\r' or '\n');
        return c;
    }

    private IEnumerable<(int Number, string Line)> Lines()
    {
        using StreamReader reader = OpenText();
        var lines = new LineScanner(reader);
        var line = new StringBuilder();
        int number = 1;
        while (NextLine(lines, line, number))
        {
            string text = line.ToString();
            if (!string.IsNullOrWhiteSpace(text)) yield return (number, text);
            number++;
        }
    }

    private bool NextLine(LineScanner lines, StringBuilder line, int number)
    {
        line.Clear();
        bool any = false;
        while (lines.Next(out ReadOnlySpan<char> content, out string lineEnd, out _))
        {
            any = true;
            line.Append(content);
            if (line.Length > LongestJsonLine) throw Wrong($"line {number} is longer than {LongestJsonLine} characters");
            if (lineEnd.Length > 0) break;
        }
        return any;
    }

    private JsonDocument ParseLine(int number, string line)
    {
        try
        {
            return JsonDocument.Parse(line);
        }
        catch (JsonException failure)
        {
            throw new CalibrationException($"'{_path}', line {number} is not sound JSON: {failure.Message} Every line must hold one value.", failure);
        }
    }

    private string TextOf(JsonElement element, string where)
    {
        if (element.ValueKind == JsonValueKind.String) return element.GetString()!;
        if (element.ValueKind != JsonValueKind.Object)
            throw Wrong($"{where} is {Short(element)}, neither a string nor an object with a field '{_textField}'");
        if (element.TryGetProperty(_textField, out JsonElement text) && text.ValueKind == JsonValueKind.String) return text.GetString()!;
        string fields = string.Join(", ", element.EnumerateObject().Take(10).Select(property => $"'{property.Name}'"));
        throw Wrong($"{where} has no string field '{_textField}' but {(fields.Length == 0 ? "none" : fields)}; name the field that holds the text");
    }

    private CalibrationException Wrong(string what) => new($"Calibration source '{_path}': {what}.");

    private static string Short(JsonElement element)
    {
        string text = element.GetRawText();
        return text.Length <= 40 ? text : text[..40] + "...";
    }
}
