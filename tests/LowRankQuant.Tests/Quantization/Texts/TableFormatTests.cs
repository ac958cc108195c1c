using System.Text;
using System.Text.Json;
using LowRankQuant.Quantization.Texts;
using Parquet;

namespace LowRankQuant.Tests.Quantization.Texts;

/// <summary>Parquet, CSV and packed files: the documents of the same rows as JSON lines, and what is refused.</summary>
public sealed class TableFormatTests : IDisposable
{
    private static readonly string?[] Rows = ["one", "two, with a comma\nand \"quotes\"", "", "žluťoučký 🐎", null, "six"];
    private static readonly string[] Kept = [.. Rows.Where(row => !string.IsNullOrEmpty(row)).Select(row => row!)];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("a.jsonl")]
    [InlineData("a.json")]
    [InlineData("a.csv")]
    [InlineData("a.parquet")]
    public void TheSameRowsAreTheSameDocumentsInEveryFormatAndPacking(string name)
    {
        byte[] content = Content(name);
        foreach ((string ending, byte[] bytes) in new[] { ("", content), (".gz", TableFiles.Gzip(content)), (".zst", TableFiles.Zstd(content)) })
        {
            TextSource source = Source(name + ending, bytes);
            Assert.Equal(Kept, Texts(source));
            string place = name is "a.csv" or "a.parquet" ? "the first is row 3" : "the first on line 3";
            if (name != "a.json") Assert.Contains(source.Warnings, warning => warning.Contains(place, StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData(CompressionMethod.None)]
    [InlineData(CompressionMethod.Snappy)]
    [InlineData(CompressionMethod.Gzip)]
    [InlineData(CompressionMethod.Zstd)]
    public void ParquetIsReadWhateverPacksItsPagesAndInRowGroups(CompressionMethod method)
    {
        string[] rows = [.. Enumerable.Range(0, 250).Select(i => $"row {i} {new string((char)('a' + (i % 26)), i)}")];
        byte[] bytes = TableFiles.Parquet(rows.Select((text, n) => new TableFiles.TextRow { Text = text, N = n }).ToList(), method, rowGroup: 100);
        Assert.Equal(rows, Texts(Source("a.parquet", bytes)));
        // Known by its content too.
        Assert.Equal(TextFormat.Parquet, Source("data", bytes).Format);
    }

    [Fact]
    public void ARowGroupBeyondTheLimitIsRefusedBeforeAnythingIsAllocatedByIt()
    {
        // 16 MB of text that packs to nearly nothing.
        List<TableFiles.TextRow> rows = [.. Enumerable.Range(0, 2000).Select(i => new TableFiles.TextRow { Text = $"{i} {new string('x', 8000)}", N = i })];
        const long Limit = 4 << 20;
        string whole = _folder.File("whole.parquet"), parts = _folder.File("parts.parquet");
        File.WriteAllBytes(whole, TableFiles.Parquet(rows, CompressionMethod.Zstd));
        File.WriteAllBytes(parts, TableFiles.Parquet(rows, CompressionMethod.Zstd, rowGroup: 100));
        Assert.True(new FileInfo(whole).Length < Limit / 8, "the file is as large as what it unpacks to");
        long before = GC.GetAllocatedBytesForCurrentThread();
        TextSourceException refused = Assert.Throws<TextSourceException>(() => Read(whole, Limit));
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < Limit, "memory was taken for what is refused");
        Assert.Contains($"'{whole}' is a Parquet file that cannot be read: the columns that are read take more than 4 MiB in one row group; write it with smaller row groups", refused.Message, StringComparison.Ordinal);
        // The same rows in groups that fit, the column that fits by itself, and all of it below the limit that holds.
        Assert.Equal(2000, Read(parts, Limit));
        Assert.Equal(2000, Read(whole, Limit, "n"));
        Assert.Equal(2000, Read(whole, ParquetLimits.MostBytes));

        static int Read(string path, long limit, string? column = null)
        {
            int count = 0;
            foreach (JsonDocument row in new ParquetRows(path, 1 << 20, limit).Read(columns => column is null ? columns : [column]))
            {
                row.Dispose();
                count++;
            }
            return count;
        }
    }

    [Fact]
    public async Task MoreValuesThanFitTheLimitAreRefusedByTheirNumberAlone()
    {
        string path = _folder.File("a.parquet");
        File.WriteAllBytes(path, TableFiles.Parquet<TableFiles.TextRow>([new() { Text = "a" }]));
        await using FileStream file = File.OpenRead(path);
        await using ParquetReader reader = await ParquetReader.CreateAsync(file, cancellationToken: TestContext.Current.CancellationToken);
        using ParquetRowGroupReader group = reader.OpenRowGroupReader(0);
        Parquet.Meta.ColumnMetaData column = group.GetMetadata(reader.Schema.GetDataFields()[0])!.MetaData!;
        long left = ParquetLimits.MostBytes;
        ParquetLimits.CheckColumn(file, column, 1, ParquetLimits.MostBytes, ref left);
        Assert.InRange(left, ParquetLimits.MostBytes - 1000, ParquetLimits.MostBytes - 1);
        column.NumValues = int.MaxValue;
        Assert.Contains("more than 1024 MiB in one row group", Assert.Throws<InvalidDataException>(() => ParquetLimits.CheckColumn(file, column, 1, ParquetLimits.MostBytes, ref left)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ListsOfStructsAreConversations()
    {
        TableFiles.ChatRow[] rows =
        [
            new() { Prompt = "unused", Messages = [new() { Role = "user", Content = "Hi" }, new() { Role = "assistant", Content = "Hello" }] },
            new() { Messages = [] },
            new() { Messages = null },
            new() { Messages = [new() { Role = "user", Content = "Once" }] },
        ];
        TextSource parquet = Source("a.parquet", TableFiles.Parquet(rows), () => ChatText.Plain, new TextSourceOptions { TextField = "messages" });
        string[] lines = [.. rows.Where(row => row.Messages is { Count: > 0 }).Select(row => JsonSerializer.Serialize(row))];
        TextSource json = Source("a.jsonl", Encoding.UTF8.GetBytes(string.Join('\n', lines)), () => ChatText.Plain);
        string[] expected = ["user: Hi\nassistant: Hello\n", "user: Once\n"];
        Assert.Equal(expected, Texts(json));
        Assert.Equal(expected, Texts(Source("b.parquet", TableFiles.Parquet(rows.Where(row => row.Messages is { Count: > 0 }).ToList()), () => ChatText.Plain)));
        Assert.Contains("field 'messages' is an array", Assert.Throws<TextSourceException>(() => Texts(parquet)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ColumnsAreNamedWhereNoneHoldsText()
    {
        byte[] bytes = TableFiles.Parquet(new[] { new TableFiles.TextRow { Text = "a", N = 1 } });
        TextSource source = Source("a.parquet", bytes, options: new TextSourceOptions { TextField = "body" });
        string message = Assert.Throws<TextSourceException>(() => Texts(source)).Message;
        Assert.Contains("it has no column 'body'; it has 'text', 'n'", message, StringComparison.Ordinal);
        Assert.Contains("`text_field`", message, StringComparison.Ordinal);
        Assert.Contains("is a number", Assert.Throws<TextSourceException>(() => Texts(Source("b.parquet", bytes, options: new TextSourceOptions { TextField = "n" }))).Message, StringComparison.Ordinal);
        Assert.Equal(["text: text", "n: number"], Source("c.parquet", bytes).Fields());
    }

    [Fact]
    public void DamagedParquetIsRefusedByName()
    {
        byte[] sound = TableFiles.Parquet(Enumerable.Range(0, 40).Select(n => new TableFiles.TextRow { Text = $"text {n}", N = n }).ToList());
        int failed = 0;
        for (int at = 0; at < sound.Length; at += 3)
        {
            foreach (byte flip in new byte[] { 0xFF, 0x10 })
            {
                byte[] bad = [.. sound];
                bad[at] ^= flip;
                failed += Tried(bad);
            }
        }
        Assert.True(failed > 20, $"{failed} of the damaged files were refused");
        for (int length = 0; length < sound.Length; length += 7) Assert.Equal(1, Tried(sound[..length], "a.parquet"));
        // A footer longer than the file, and a list longer than the footer.
        byte[] footer = [.. sound];
        BitConverter.TryWriteBytes(footer.AsSpan(footer.Length - 8), int.MaxValue);
        Assert.Contains("longer than the file", Refused("b.parquet", footer), StringComparison.Ordinal);
        byte[] list = [.. "PAR1"u8, 0x19, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0x00, 0x08, 0x00, 0x00, 0x00, .. "PAR1"u8];
        Assert.Contains("list of", Refused("c.parquet", list), StringComparison.Ordinal);

        int Tried(byte[] bytes, string name = "a.parquet")
        {
            try
            {
                Texts(Source(name, bytes));
                return 0;
            }
            catch (TextSourceException refused)
            {
                Assert.Contains(name, refused.Message, StringComparison.Ordinal);
                return 1;
            }
        }
    }

    [Theory]
    [InlineData("text,n\na,1\nb", "row 2 has 1 fields and the first record 2")]
    [InlineData("text,text\na,b", "names a column twice")]
    [InlineData("text\n\"a", "a quote is not closed")]
    [InlineData("text\n\"a\"b", "behind a closing quote")]
    [InlineData("body\na", "has no field 'text'; it has 'body'")]
    public void UnsoundCsvIsRefused(string content, string rule) => Assert.Contains(rule, Refused("a.csv", Encoding.UTF8.GetBytes(content)), StringComparison.Ordinal);

    [Fact]
    public void PackedFilesThatAreCutAreRefused()
    {
        byte[] packed = TableFiles.Zstd(Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 5000).Select(i => $"line {i * 7919}\n"))));
        for (int length = 4; length < packed.Length; length += packed.Length / 20)
            Assert.Contains("is not a sound zstd file", Refused("a.txt.zst", packed[..length]), StringComparison.Ordinal);
        Assert.Contains("is not a sound zstd file", Refused("a.txt.zst", [.. packed, 1, 2, 3, 4, 5]), StringComparison.Ordinal);
        Assert.Contains("is named .zst and is no zstd file", Refused("a.txt.zst", "plain"u8.ToArray()), StringComparison.Ordinal);
        Assert.Contains("cannot be read", Refused("a.parquet.zst", packed[..50]), StringComparison.Ordinal);
    }

    [Fact]
    public void RowsJoinAsTheirDataSetSays()
    {
        byte[] bytes = TableFiles.Parquet(new[] { "", "= A =\n", "", "text\n" }.Select(text => new TableFiles.TextRow { Text = text }).ToList());
        Assert.Equal(["\n\n= A =\n\n\n\n\ntext\n"], Texts(Source("a.parquet", bytes, options: new TextSourceOptions { Join = TextJoin.BlankLines, KeepEmptyRows = true })));
        byte[] three = Encoding.UTF8.GetBytes("\"a\"\n\"b\"\n\"c\"");
        Assert.Equal(["a b"], Texts(Source("b.jsonl", three, options: new TextSourceOptions { Join = TextJoin.Spaces, MostRows = 2 })));
    }

    private static byte[] Content(string name) => name switch
    {
        "a.jsonl" => Encoding.UTF8.GetBytes(string.Join('\n', Rows.Select(row => JsonSerializer.Serialize(new { text = row })))),
        "a.json" => JsonSerializer.SerializeToUtf8Bytes(Rows.Select(row => new { text = row })),
        "a.csv" => Encoding.UTF8.GetBytes("n,text\r\n" + string.Concat(Rows.Select((row, n) => $"{n},\"{row?.Replace("\"", "\"\"", StringComparison.Ordinal)}\"\r\n"))),
        _ => TableFiles.Parquet(Rows.Select((row, n) => new TableFiles.TextRow { Text = row, N = n }).ToList()),
    };

    private static List<string> Texts(TextSource source) => [.. source.Documents([]).Select(document => new DocumentReader(document).ReadToEnd())];

    private string Refused(string name, byte[] bytes) => Assert.Throws<TextSourceException>(() => Texts(Source(name, bytes))).Message;

    private TextSource Source(string name, byte[] bytes, Func<ChatText?>? chat = null, TextSourceOptions? options = null)
    {
        File.WriteAllBytes(_folder.File(name), bytes);
        return new TextSource(_folder.File(name), options ?? new TextSourceOptions(), chat);
    }
}
