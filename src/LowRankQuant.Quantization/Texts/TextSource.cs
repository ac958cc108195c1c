using System.Security.Cryptography;
using System.Text.Json;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// One file of text, whoever asks for it: its format, hash and documents, read only as far as they are asked for. Plain text, JSON, JSON lines and token
/// ids, each also packed by gzip.
/// </summary>
internal sealed class TextSource
{
    // Longer values are no documents but damage or attack; a compressed file of some kilobytes can hold gigabytes.
    private const int LongestRow = 1 << 26;

    // One object around all documents is read whole.
    private const int LongestObject = 1 << 29;
    private const int Beginning = 1 << 16;

    private readonly RowReader _rows;
    private readonly TextNotes _notes;

    /// <param name="path">The file.</param>
    /// <param name="options">What it holds.</param>
    /// <param name="chat">The model's chat format, asked for at the first conversation; null where there is no model.</param>
    /// <exception cref="TextSourceException">There is no such file, or its beginning is of a format that is no text.</exception>
    public TextSource(string path, TextSourceOptions options, Func<ChatText?>? chat = null)
    {
        Path = path;
        _notes = new TextNotes(path);
        _rows = new RowReader(path, options, chat ?? (() => null), _notes);
        SourceReader.CheckExists(path);
        Format = options.Format == TextFormat.Auto ? Detect(options) : options.Format;
    }

    /// <summary>The file as it was named.</summary>
    public string Path { get; }

    /// <summary>What it holds; never <see cref="TextFormat.Auto"/>.</summary>
    public TextFormat Format { get; }

    /// <summary>What was read otherwise than it stands, or left out, so far.</summary>
    public IReadOnlyList<string> Warnings => _notes.Warnings();

    /// <summary>Size and SHA-256 of the file as it lies on disk.</summary>
    public (long Bytes, string Sha256) Describe()
    {
        using FileStream stream = File.OpenRead(Path);
        return (stream.Length, Convert.ToHexStringLower(SHA256.HashData(stream)));
    }

    /// <summary>The characters of a file of plain text.</summary>
    /// <exception cref="TextSourceException">It is no text.</exception>
    public SourceReader Open() => new(Path);

    /// <summary>The documents in order; each is used up before the next is asked for.</summary>
    /// <param name="separators">Lines that end a document of plain text.</param>
    /// <param name="opened">Is given the reader, which knows how much of the file is read; null for nobody.</param>
    /// <exception cref="TextSourceException">As it is enumerated: the file is not what its format says, or gives no text at all.</exception>
    public IEnumerable<TextDocument> Documents(IReadOnlyCollection<string> separators, Action<SourceReader>? opened = null)
    {
        using SourceReader reader = Open();
        opened?.Invoke(reader);
        foreach (TextDocument document in Format == TextFormat.Text ? Plain(reader, separators) : Format == TextFormat.Ids ? TokenIds(reader) : Rows(reader))
            yield return document;
        _notes.ThrowIfNothing();
    }

    private static IEnumerable<TextDocument> Plain(SourceReader reader, IReadOnlyCollection<string> separators)
    {
        var lines = new LineScanner(reader);
        TextFileDocument document;
        var rest = new System.Text.StringBuilder();
        do
        {
            document = new TextFileDocument(lines, separators);
            yield return document;
            while (document.Read(rest, 1 << 16)) rest.Clear();
            rest.Clear();
        }
        while (!document.FileEnded);
    }

    private IEnumerable<TextDocument> TokenIds(SourceReader reader) => new JsonValues(reader, Path, LongestRow).Read().Select(_rows.TokenIds);

    private IEnumerable<TextDocument> Rows(SourceReader reader)
    {
        // One object alone may be the frame around all rows, and is then long.
        var values = new JsonValues(reader, Path, Format == TextFormat.Json ? LongestObject : LongestRow);
        JsonPiece? first = null;
        int number = 0;
        foreach (JsonPiece piece in values.Read())
        {
            if (number == 0 && !values.InArray && Format == TextFormat.Json) first = piece;
            else
            {
                if (first is { } held && Row(held, null) is { } before) yield return before;
                first = null;
                if (Row(piece, values.InArray ? number : null) is { } document) yield return document;
            }
            number++;
        }
        if (first is not { } alone) yield break;
        foreach (TextDocument document in Framed(alone)) yield return document;

        StringDocument? Row(JsonPiece piece, int? element) =>
            piece.Text.Length <= LongestRow ? _rows.Text(piece, element) : throw _rows.Wrong($"line {piece.Line} begins a value of more than {LongestRow} characters");
    }

    /// <summary>The rows of the array within an object; or the object itself, where it is a row.</summary>
    private IEnumerable<TextDocument> Framed(JsonPiece alone)
    {
        using JsonDocument json = _rows.Parse(alone);
        JsonElement root = json.RootElement;
        if (root.ValueKind != JsonValueKind.Object || _rows.IsRow(root) || ArrayIn(root) is not { } array || RowReader.AreIds(array))
        {
            if (_rows.Text(root, alone.Line, null) is { } row) yield return row;
            yield break;
        }
        int i = 0;
        foreach (JsonElement element in array.EnumerateArray())
        {
            if (_rows.Text(element, alone.Line, i++) is { } document) yield return document;
        }
    }

    private JsonElement? ArrayIn(JsonElement root)
    {
        JsonProperty[] arrays = [.. root.EnumerateObject().Where(property => property.Value.ValueKind == JsonValueKind.Array)];
        if (arrays.Length == 0) return null;
        if (arrays.Length == 1) return arrays[0].Value;
        return root.TryGetProperty(_rows.Field, out JsonElement named) && named.ValueKind == JsonValueKind.Array
            ? named
            : throw _rows.Wrong($"its object holds {arrays.Length} arrays ({string.Join(", ", arrays.Select(property => $"'{property.Name}'"))}); " +
                "name the one of the texts by `text_field`");
    }

    private TextFormat Detect(TextSourceOptions options)
    {
        string name = Path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? Path[..^3] : Path;
        if (Ends(".ids") || Ends(".ids.jsonl") || Ends(".ids.json")) return TextFormat.Ids;
        if (Ends(".jsonl") || Ends(".ndjson"))
        {
            RefuseUnlessJson(options);
            return TextFormat.JsonLines;
        }
        if (Ends(".json"))
        {
            RefuseUnlessJson(options);
            return TextFormat.Json;
        }
        if (!HoldsRows(Head())) return TextFormat.Text;
        _notes.Remark($"'{Path}' holds JSON objects and is read as JSON lines; {options.FormatOption} text takes it as it stands.");
        return TextFormat.JsonLines;

        bool Ends(string ending) => name.EndsWith(ending, StringComparison.OrdinalIgnoreCase);
    }

    private void RefuseUnlessJson(TextSourceOptions options)
    {
        string head = Head().TrimStart();
        if (head.Length > 0 && head[0] is not ('{' or '[' or '"' or 'n'))
            throw _rows.Wrong($"it is named as JSON and begins with '{head[0]}'; if it is plain text, say so by {options.FormatOption} text");
    }

    private string Head()
    {
        using SourceReader reader = Open();
        char[] buffer = new char[Beginning];
        return new string(buffer, 0, reader.ReadBlock(buffer, 0, buffer.Length));
    }

    /// <summary>Whether the first lines are JSON objects, each with a text or a conversation: nobody's plain text looks so.</summary>
    private bool HoldsRows(string head)
    {
        string[] lines = head.Split('\n');
        int found = 0;
        // The last line may be cut.
        foreach (string line in lines.Take(head.Length < Beginning ? lines.Length : lines.Length - 1))
        {
            if (string.IsNullOrWhiteSpace(line)) continue;
            if (line.TrimStart()[0] != '{') return false;
            int replaced = 0;
            using JsonDocument? json = JsonText.Parse(line, ref replaced, out _);
            if (json is null || !_rows.IsRow(json.RootElement)) return false;
            if (++found == 2) break;
        }
        return found > 0;
    }
}
