using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// One file of text, whoever asks for it: its format, hash and documents, read only as far as they are asked for. Plain text, JSON, JSON lines and token
/// ids, CSV, each also packed by gzip or zstd, and Parquet.
/// </summary>
internal sealed class TextSource
{
    // Longer values are no documents but damage or attack; a compressed file of some kilobytes can hold gigabytes.
    private const int LongestRow = 1 << 26;

    // One object around all documents is read whole.
    private const int LongestObject = 1 << 29;
    private const int Beginning = 1 << 16;
    private const int MostFields = 100;

    private readonly RowReader _rows;
    private readonly IReadOnlyList<TextSource> _parts = [];
    private readonly TextSourceOptions _options;
    private readonly TextNotes _notes;

    /// <param name="path">The file.</param>
    /// <param name="options">What it holds.</param>
    /// <param name="chat">The model's chat format, asked for at the first conversation; null where there is no model.</param>
    /// <exception cref="TextSourceException">There is no such file, or its beginning is of a format that is no text.</exception>
    public TextSource(string path, TextSourceOptions options, Func<ChatText?>? chat = null)
    {
        Path = path;
        _options = options;
        _notes = new TextNotes(path);
        _rows = new RowReader(path, options, chat ?? (() => null), _notes);
        if (options.Files is null && !TextFiles.IsSeveral(path))
        {
            SourceReader.CheckExists(path);
            Format = options.Format == TextFormat.Auto ? Detect(options) : options.Format;
            return;
        }
        _parts = [.. (options.Files ?? TextFiles.Of(path)).Select(file => new TextSource(file, options with { Files = null, Join = TextJoin.None, MostRows = null }, chat))];
        Format = _parts[0].Format;
        if (_parts.FirstOrDefault(part => part.Format != Format) is { } other)
            throw new TextSourceException($"'{path}' holds files of several formats ('{_parts[0].Path}' and '{other.Path}'); name those of one, by a pattern such as *.jsonl.");
    }

    /// <summary>The file as it was named.</summary>
    public string Path { get; }

    /// <summary>What it holds; never <see cref="TextFormat.Auto"/>.</summary>
    public TextFormat Format { get; }

    /// <summary>Conversations that were put into text so far.</summary>
    public int Conversations => _notes.Conversations + _parts.Sum(part => part.Conversations);

    /// <summary>Whether it is several files.</summary>
    public bool IsSeveral => _parts.Count > 1;

    /// <summary>Whether all rows are one document.</summary>
    public bool IsJoined => _options.Join != TextJoin.None && HasRows;

    /// <summary>What was read otherwise than it stands, or left out, so far.</summary>
    public IReadOnlyList<string> Warnings => [.. _notes.Warnings(), .. _parts.SelectMany(part => part.Warnings)];

    private bool HasRows => Format is not (TextFormat.Text or TextFormat.Ids);

    /// <summary>Names of what its rows have, as far as the first one or the file itself says: columns, or keys of an object; empty for plain text and ids.</summary>
    /// <exception cref="TextSourceException">It is no sound file of its format.</exception>
    public IReadOnlyList<string> Fields()
    {
        if (_parts.Count > 0) return _parts[0].Fields();
        if (Format == TextFormat.Parquet) return [.. new ParquetRows(Path, LongestRow).Columns().Select(column => $"{column.Name}: {column.Type}")];
        if (!HasRows) return [];
        using SourceReader reader = Open();
        if (Format == TextFormat.Csv) return new CsvRows(reader, Path, LongestRow).Read().FirstOrDefault() ?? [];
        if (new JsonValues(reader, Path, LongestObject).Read().Select(piece => (JsonPiece?)piece).FirstOrDefault() is not { } first) return [];
        using JsonDocument json = _rows.Parse(first);
        return json.RootElement.ValueKind == JsonValueKind.Object ? [.. json.RootElement.EnumerateObject().Take(MostFields).Select(field => $"{field.Name}: {JsonText.Kind(field.Value)}")] : [];
    }

    /// <summary>Size and SHA-256 of the file as it lies on disk.</summary>
    public (long Bytes, string Sha256) Describe()
    {
        using FileStream stream = File.OpenRead(Path);
        return (stream.Length, Convert.ToHexStringLower(SHA256.HashData(stream)));
    }

    /// <summary>The characters of a file of plain text.</summary>
    /// <exception cref="TextSourceException">It is no text.</exception>
    public SourceReader Open() => _parts.Count == 1 ? _parts[0].Open() : new(Path);

    /// <summary>The documents in order; each is used up before the next is asked for.</summary>
    /// <param name="separators">Lines that end a document of plain text.</param>
    /// <param name="opened">Is given what knows how much of the file is read, 0 to 1; null for nobody.</param>
    /// <exception cref="TextSourceException">As it is enumerated: the file is not what its format says, or gives no text at all.</exception>
    public IEnumerable<TextDocument> Documents(IReadOnlyCollection<string> separators, Action<Func<double>>? opened = null)
    {
        IEnumerable<TextDocument> documents = _parts.Count > 0 ? OfParts(separators, opened)
            : Format == TextFormat.Parquet ? Parquet(opened) : Characters(separators, opened);
        if (_options.MostRows is { } most && HasRows) documents = documents.Take(most);
        if (IsJoined)
        {
            yield return new ReaderDocument(new JoinedRows(documents.Select(document => ((StringDocument)document).Text), JoinedRows.Between(_options.Join)));
        }
        else
        {
            foreach (TextDocument document in documents) yield return document;
        }
        _notes.ThrowIfNothing();
    }

    private IEnumerable<TextDocument> OfParts(IReadOnlyCollection<string> separators, Action<Func<double>>? opened)
    {
        for (int i = 0; i < _parts.Count; i++)
        {
            int done = i;
            foreach (TextDocument document in _parts[i].Documents(separators, share => opened?.Invoke(() => (done + share()) / _parts.Count))) yield return document;
        }
    }

    private IEnumerable<TextDocument> Characters(IReadOnlyCollection<string> separators, Action<Func<double>>? opened)
    {
        using SourceReader reader = Open();
        opened?.Invoke(() => reader.Share);
        IEnumerable<TextDocument> documents = Format switch
        {
            TextFormat.Text => Plain(reader, separators),
            TextFormat.Ids => TokenIds(reader),
            TextFormat.Csv => Table(reader),
            _ => Rows(reader),
        };
        foreach (TextDocument document in documents) yield return document;
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
            if (_rows.Text(root, RowPlace.Line(alone.Line, null)) is { } row) yield return row;
            yield break;
        }
        int i = 0;
        foreach (JsonElement element in array.EnumerateArray())
        {
            if (_rows.Text(element, RowPlace.Line(alone.Line, i++)) is { } document) yield return document;
        }
    }

    /// <summary>Rows of a table whose first record names the columns.</summary>
    private IEnumerable<TextDocument> Table(SourceReader reader)
    {
        string[]? names = null;
        long number = 0;
        foreach (string[] record in new CsvRows(reader, Path, LongestRow).Read())
        {
            if (names is null)
            {
                names = record;
                if (names.Length != names.Distinct(StringComparer.Ordinal).Count()) throw _rows.Wrong("its first record names a column twice");
                continue;
            }
            number++;
            if (record.Length != names.Length) throw _rows.Wrong($"row {number} has {record.Length} fields and the first record {names.Length}");
            var row = new JsonObject();
            for (int i = 0; i < names.Length; i++) row[names[i]] = record[i];
            using JsonDocument json = JsonDocument.Parse(row.ToJsonString());
            if (_rows.Text(json.RootElement, RowPlace.Row(number)) is { } document) yield return document;
        }
    }

    private IEnumerable<TextDocument> Parquet(Action<Func<double>>? opened)
    {
        var rows = new ParquetRows(Path, LongestRow);
        opened?.Invoke(() => rows.Share);
        long number = 0;
        foreach (JsonDocument row in rows.Read(_rows.Columns))
        {
            using JsonDocument json = row;
            if (_rows.Text(json.RootElement, RowPlace.Row(++number)) is { } document) yield return document;
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
        string name = Unpacked.Name(Path);
        if (Ends(".parquet") || ParquetRows.IsParquet(HeadOfFile())) return TextFormat.Parquet;
        if (Ends(".csv")) return TextFormat.Csv;
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

    private byte[] HeadOfFile()
    {
        using FileStream file = File.OpenRead(Path);
        byte[] head = new byte[ContentKind.HeadLength];
        return head[..file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)];
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
