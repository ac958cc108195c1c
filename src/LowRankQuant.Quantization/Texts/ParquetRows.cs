using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Parquet;
using Parquet.Schema;

namespace LowRankQuant.Quantization.Texts;

/// <summary>The rows of a Parquet file as JSON objects, one row group in memory at a time, of the columns that are asked for.</summary>
/// <param name="path">The file, plain or packed by gzip or zstd.</param>
/// <param name="longest">Most bytes of a row.</param>
/// <param name="most">Most bytes that the columns of a row group take unpacked.</param>
internal sealed class ParquetRows(string path, int longest, long most = ParquetLimits.MostBytes)
{
    private static readonly ParquetOptions Options = new() { TreatByteArrayAsString = true };

    /// <summary>The part of the rows that is read, 0 to 1.</summary>
    public double Share { get; private set; }

    /// <summary>Name and type of every column, in order.</summary>
    /// <exception cref="TextSourceException">It is no sound Parquet file.</exception>
    public IReadOnlyList<(string Name, string Type)> Columns() => Guarded(() =>
    {
        using Opened file = Open();
        return file.Reader.Schema.Fields.Select(field => (field.Name, TypeOf(field))).ToList();
    });

    /// <summary>The rows.</summary>
    /// <param name="choose">Chooses columns by name; gets all that there are.</param>
    /// <exception cref="TextSourceException">As it is enumerated: it is no sound Parquet file, or a row group is too large.</exception>
    public IEnumerable<JsonDocument> Read(Func<IReadOnlyList<string>, IReadOnlyCollection<string>> choose)
    {
        using Opened file = Guarded(Open);
        Field[] all = Guarded(() => file.Reader.Schema.Fields.ToArray());
        IReadOnlyCollection<string> chosen = choose([.. all.Select(field => field.Name)]);
        Field[] fields = [.. all.Where(field => chosen.Contains(field.Name))];
        int groups = Guarded(() => file.Reader.RowGroupCount);
        for (int g = 0; g < groups; g++)
        {
            int number = g;
            using RowGroup group = Guarded(() => new RowGroup(file, number, fields, most));
            for (long row = 0; row < group.Rows; row++)
            {
                Share = (g + ((double)row / group.Rows)) / groups;
                yield return Guarded(() => group.Next(longest));
            }
        }
        Share = 1;
    }

    /// <summary>Whether the first bytes are those of a Parquet file.</summary>
    public static bool IsParquet(ReadOnlySpan<byte> head) => head.StartsWith("PAR1"u8) && ContentKind.IsBinary(head);

    private static string TypeOf(Field field) => field switch
    {
        DataField { IsArray: true } leaf => $"list of {NameOf(leaf.ClrType)}",
        DataField leaf => NameOf(leaf.ClrType),
        ListField list => $"list of {TypeOf(list.Item)}",
        StructField parts => $"struct ({string.Join(", ", parts.Fields.Select(part => part.Name))})",
        _ => "map",
    };

    private static string NameOf(Type type) => type == typeof(ReadOnlyMemory<char>) ? "text" : type == typeof(bool) ? "boolean" : type.IsPrimitive ? "number" : type.Name;

    private Opened Open()
    {
        Stream file = Unpacked.Seekable(path);
        try
        {
            ParquetLimits.CheckFooter(file);
            return new Opened(file, ParquetReader.CreateAsync(file, Options, leaveStreamOpen: true).GetAwaiter().GetResult());
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    // Whatever the library meets in a damaged file, it is the file that is named.
    private T Guarded<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (TextSourceException)
        {
            throw;
        }
#pragma warning disable CA1031 // A damaged file makes the library throw nearly anything.
        catch (Exception failure) when (failure is not OperationCanceledException and not UnauthorizedAccessException)
#pragma warning restore CA1031
        {
            string what = failure is InvalidDataException ? failure.Message.TrimEnd('.') : $"it is damaged ({(failure.InnerException ?? failure).Message.TrimEnd('.')})";
            throw new TextSourceException($"'{path}' is a Parquet file that cannot be read: {what}.", failure);
        }
    }

    /// <summary>An open file.</summary>
    private sealed class Opened(Stream file, ParquetReader reader) : IDisposable
    {
        public Stream File => file;

        public ParquetReader Reader => reader;

        public void Dispose()
        {
            reader.DisposeAsync().AsTask().GetAwaiter().GetResult();
            file.Dispose();
        }
    }

    /// <summary>The chosen columns of one row group.</summary>
    private sealed class RowGroup : IDisposable
    {
        private readonly List<ParquetColumn> _columns = [];
        private readonly ArrayBufferWriter<byte> _buffer = new();

        public RowGroup(Opened file, int number, Field[] fields, long most)
        {
            using ParquetRowGroupReader group = file.Reader.OpenRowGroupReader(number);
            Rows = group.RowCount;
            long left = most;
            foreach (DataField leaf in fields.SelectMany(ParquetColumn.LeavesOf))
            {
                ParquetLimits.CheckColumn(
                    file.File, group.GetMetadata(leaf)?.MetaData ?? throw new InvalidDataException($"row group {number} lacks the column '{leaf.Path}'"), Rows, most, ref left);
            }
            try
            {
                foreach (Field field in fields) _columns.Add(ParquetColumn.Read(group, field));
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        public long Rows { get; }

        public JsonDocument Next(int longest)
        {
            _buffer.ResetWrittenCount();
            using (var json = new Utf8JsonWriter(_buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = JsonText.Depth }))
            {
                json.WriteStartObject();
                foreach (ParquetColumn column in _columns)
                {
                    json.WritePropertyName(column.Name);
                    column.Write(json, longest);
                }
                json.WriteEndObject();
            }
            return JsonDocument.Parse(_buffer.WrittenMemory, new JsonDocumentOptions { MaxDepth = JsonText.Depth, AllowDuplicateProperties = false });
        }

        public void Dispose()
        {
            foreach (ParquetColumn column in _columns) column.Dispose();
        }
    }
}
