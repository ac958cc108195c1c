using System.Text;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// CSV after RFC 4180, one record at a time: fields in quotes may hold commas, line ends and doubled quotes. Empty lines between records are left out.
/// </summary>
/// <param name="reader">The text; not disposed.</param>
/// <param name="path">The file, for messages.</param>
/// <param name="longest">Most characters of a record.</param>
internal sealed class CsvRows(TextReader reader, string path, int longest)
{
    // A file with more is no table but damage or attack.
    private const int MostFields = 1 << 16;

    private readonly char[] _buffer = new char[1 << 16];
    private int _at;
    private int _end;
    private int _records;

    /// <exception cref="TextSourceException">As it is enumerated: a quote is not closed, something follows a closing quote, or a record is too long.</exception>
    public IEnumerable<string[]> Read()
    {
        while (Record() is { } record)
        {
            _records++;
            yield return record;
        }
    }

    private string[]? Record()
    {
        var fields = new List<string>();
        var field = new StringBuilder();
        bool quoted = false, wasQuoted = false;
        int length = 0;
        while (true)
        {
            int next = Take();
            if (++length > longest) throw Wrong($"more than {longest} characters");
            if (next < 0)
            {
                if (quoted) throw Wrong("a quote is not closed before the end of the file");
                return fields.Count == 0 && field.Length == 0 && !wasQuoted ? null : Ended();
            }
            char c = (char)next;
            if (quoted)
            {
                if (c != '"') field.Append(c);
                else if (Peek() == '"') field.Append((char)Take());
                else quoted = false;
                continue;
            }
            switch (c)
            {
                case '"' when field.Length == 0 && !wasQuoted:
                    quoted = wasQuoted = true;
                    break;
                case ',':
                    if (fields.Count == MostFields) throw Wrong($"more than {MostFields} fields");
                    fields.Add(field.ToString());
                    field.Clear();
                    wasQuoted = false;
                    break;
                case '\r' when Peek() == '\n':
                    break;
                case '\n':
                    if (fields.Count == 0 && field.Length == 0 && !wasQuoted) break;
                    return Ended();
                default:
                    if (wasQuoted) throw Wrong($"'{c}' behind a closing quote; a comma or the line's end must follow");
                    field.Append(c);
                    break;
            }
        }

        string[] Ended()
        {
            fields.Add(field.ToString());
            return [.. fields];
        }
    }

    private int Peek() => _at < _end || Fill() ? _buffer[_at] : -1;

    private int Take() => _at < _end || Fill() ? _buffer[_at++] : -1;

    private bool Fill()
    {
        (_at, _end) = (0, reader.Read(_buffer, 0, _buffer.Length));
        return _end > 0;
    }

    private TextSourceException Wrong(string what) => new($"'{path}', record {_records + 1}: {what}.");
}
