using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Evaluation.Tasks.Data;

/// <summary>Reads rows from JSON lines (also as .gz), CSV and Parquet files.</summary>
internal static class TaskFile
{
    // The largest real test set has some 50 MB; beyond this something is wrong, and everything read stays in memory.
    private const long MostCharacters = 1L << 30;
    private const int LongestRow = 1 << 26;

    /// <summary>The rows of a file with one JSON object a line, of a CSV file whose first record names the columns, or of a Parquet file.</summary>
    /// <exception cref="EvaluationException">The file is absent, of another kind, not UTF-8, or a row is not sound.</exception>
    public static IReadOnlyList<TaskRow> Rows(string path)
    {
        string name = path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? path[..^3] : path;
        if (name.EndsWith(".csv", StringComparison.OrdinalIgnoreCase)) return CsvRows(path);
        if (name.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase) || name.EndsWith(".json", StringComparison.OrdinalIgnoreCase)) return JsonRows(path);
        if (name.EndsWith(".parquet", StringComparison.OrdinalIgnoreCase)) return ParquetTable(path);
        throw new EvaluationException($"'{path}': tasks are read from .jsonl files (one JSON object a line, also as .gz), .csv and .parquet files.");
    }

    /// <summary>The records of a CSV file as they stand.</summary>
    public static IReadOnlyList<string[]> Records(string path) => Read(path, reader => new CsvRows(reader, path, LongestRow).Read().ToList());

    private static List<TaskRow> CsvRows(string path)
    {
        IReadOnlyList<string[]> records = Records(path);
        if (records.Count == 0) throw new EvaluationException($"'{path}' is empty; its first record must name the columns.");
        string[] names = records[0];
        var rows = new List<TaskRow>(records.Count - 1);
        for (int i = 1; i < records.Count; i++)
        {
            if (records[i].Length != names.Length)
                throw new EvaluationException($"'{path}', record {i + 1} has {records[i].Length} columns and the first {names.Length}.");
            var columns = new JsonObject();
            for (int c = 0; c < names.Length; c++) columns[names[c]] = records[i][c];
            rows.Add(new TaskRow($"'{path}', record {i + 1}", columns));
        }
        return rows;
    }

    private static List<TaskRow> ParquetTable(string path)
    {
        try
        {
            var rows = new List<TaskRow>();
            long read = 0;
            foreach (JsonDocument json in new ParquetRows(path, LongestRow).Read(columns => columns))
            {
                using (json)
                {
                    JsonObject columns = JsonObject.Create(json.RootElement.Clone())!;
                    read += json.RootElement.GetRawText().Length;
                    if (read > MostCharacters) throw new EvaluationException($"'{path}' holds more than {MostCharacters} characters; no task is that long.");
                    rows.Add(new TaskRow($"'{path}', row {rows.Count + 1}", columns));
                }
            }
            return rows;
        }
        catch (TextSourceException failure)
        {
            throw new EvaluationException(failure.Message, failure);
        }
    }

    private static List<TaskRow> JsonRows(string path) => Read(path, reader =>
    {
        var rows = new List<TaskRow>();
        foreach (JsonPiece piece in new JsonValues(reader, path, LongestRow).Read())
        {
            string place = $"'{path}', line {piece.Line}";
            int replaced = 0;
            using JsonDocument json = JsonText.Parse(piece.Text, ref replaced, out JsonFault? fault)
                ?? throw new EvaluationException($"'{path}', {fault!.Value.From(piece.Line, piece.Column)}.");
            if (json.RootElement.ValueKind != JsonValueKind.Object)
                throw new EvaluationException($"{place} is {JsonText.Kind(json.RootElement)}, {JsonText.Shown(json.RootElement)}; a row is a JSON object with a key for every column.");
            rows.Add(new TaskRow(place, JsonObject.Create(json.RootElement.Clone())!, replaced));
        }
        return rows;
    });

    private static T Read<T>(string path, Func<TextReader, T> read)
    {
        try
        {
            using var reader = new BoundedReader(new SourceReader(path), path);
            return read(reader);
        }
        catch (TextSourceException failure)
        {
            throw new EvaluationException(failure.Message, failure);
        }
    }

    /// <summary>Counts what is read: a small .gz file can hold a very long text.</summary>
    private sealed class BoundedReader(SourceReader inner, string path) : TextReader
    {
        private long _read;

        public override int Read(char[] buffer, int index, int count) => Count(inner.Read(buffer, index, count));

        public override int Read()
        {
            int c = inner.Read();
            if (c >= 0) Count(1);
            return c;
        }

        public override int Peek() => inner.Peek();

        protected override void Dispose(bool disposing)
        {
            if (disposing) inner.Dispose();
            base.Dispose(disposing);
        }

        private int Count(int characters)
        {
            _read += characters;
            return _read <= MostCharacters ? characters : throw new EvaluationException($"'{path}' holds more than {MostCharacters} characters; no task is that long.");
        }
    }
}
