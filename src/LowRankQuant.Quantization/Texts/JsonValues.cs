using System.Text;

namespace LowRankQuant.Quantization.Texts;

/// <summary>The text of a JSON value and where it begins.</summary>
/// <param name="Text">The value as it is written.</param>
/// <param name="Line">Line of its first character, from 1.</param>
/// <param name="Column">Column of its first character, from 1.</param>
internal readonly record struct JsonPiece(string Text, int Line, int Column);

/// <summary>
/// Cuts JSON of any length into the values that stand behind each other, one a line or not, or into the elements of the one array around them; an array
/// of numbers counts as a value. Only the value being read is in memory. Values are not checked beyond their brackets and quotes.
/// </summary>
/// <param name="reader">The text; not disposed.</param>
/// <param name="path">The file, for messages.</param>
/// <param name="longest">Most characters of a value.</param>
internal sealed class JsonValues(TextReader reader, string path, int longest)
{
    private readonly char[] _buffer = new char[1 << 16];
    private int _at;
    private int _end;
    private int _line = 1;
    private int _column = 1;

    /// <summary>Whether the values are elements of one array; known as soon as the first is asked for.</summary>
    public bool InArray { get; private set; }

    /// <exception cref="TextSourceException">As it is enumerated: brackets, quotes or commas do not fit, or a value is too long.</exception>
    public IEnumerable<JsonPiece> Read()
    {
        var text = new StringBuilder();
        int first = SkipSpace();
        (int line, int column) = (_line, _column);
        if (first == '[')
        {
            text.Append((char)Take());
            int inner = SkipSpace();
            InArray = inner is not ((>= '0' and <= '9') or '-');
            if (InArray)
            {
                foreach (JsonPiece element in Elements(text, inner)) yield return element;
                if (SkipSpace() is >= 0 and int behind) throw Fault($"'{(char)behind}' behind the end of the array around all elements");
                yield break;
            }
            yield return Value(text, line, column, depth: 1);
        }
        while (SkipSpace() >= 0)
        {
            (line, column) = (_line, _column);
            text.Clear();
            yield return Value(text, line, column, depth: 0);
        }
    }

    private IEnumerable<JsonPiece> Elements(StringBuilder text, int next)
    {
        while (next != ']')
        {
            (int line, int column) = (_line, _column);
            text.Clear();
            yield return Value(text, line, column, depth: 0);
            next = SkipSpace();
            if (next == ']') break;
            if (next != ',') throw Fault(next < 0 ? "the text ends within the array around all elements" : $"'{(char)next}' where a comma or ']' must stand");
            Take();
            next = SkipSpace();
            if (next == ']') throw Fault("']' behind a comma; leave the comma out");
        }
        Take();
    }

    private JsonPiece Value(StringBuilder text, int line, int column, int depth)
    {
        do
        {
            int c = Peek();
            switch (c)
            {
                case < 0:
                    throw Fault("the text ends within a value");
                case '"':
                    Quoted(text);
                    break;
                case '{' or '[':
                    if (++depth > JsonText.Depth) throw Fault($"nested more than {JsonText.Depth} levels deep");
                    text.Append((char)Take());
                    break;
                case '}' or ']':
                    if (--depth < 0) throw Fault($"'{(char)c}' without an opening bracket");
                    text.Append((char)Take());
                    break;
                case ',' when depth == 0:
                    throw Fault("',' where a value must stand");
                default:
                    Bare(text, depth);
                    break;
            }
            if (text.Length > longest) throw Fault($"a value of more than {longest} characters");
        }
        while (depth > 0);
        return new JsonPiece(text.ToString(), line, column);
    }

    /// <summary>Everything up to what begins or ends something; outside brackets one word.</summary>
    private void Bare(StringBuilder text, int depth)
    {
        for (int c = Peek(); c >= 0 && c is not ('"' or '{' or '[' or '}' or ']') && (depth > 0 || c is not (',' or ' ' or '\t' or '\r' or '\n')); c = Peek())
            text.Append((char)Take());
    }

    private void Quoted(StringBuilder text)
    {
        (int line, int column) = (_line, _column);
        text.Append((char)Take());
        while (true)
        {
            if (_at == _end && !Fill()) throw Fault("the text ends within a value", line, column);
            ReadOnlySpan<char> rest = _buffer.AsSpan(_at, _end - _at);
            int stop = rest.IndexOfAny('"', '\\', '\n');
            int plain = stop < 0 ? rest.Length : stop;
            text.Append(rest[..plain]);
            _at += plain;
            _column += plain;
            if (text.Length > longest) throw Fault($"a value of more than {longest} characters", line, column);
            if (stop < 0) continue;
            char c = (char)Take();
            if (c == '\n') throw Fault("the line ends within a text that is not closed", line, column);
            text.Append(c);
            if (c == '"') return;
            if (Peek() is >= 0 and not '\n') text.Append((char)Take());
        }
    }

    /// <summary>The next character that is no white space, not taken; negative at the end.</summary>
    private int SkipSpace()
    {
        int c = Peek();
        while (c is ' ' or '\t' or '\r' or '\n')
        {
            Take();
            c = Peek();
        }
        return c;
    }

    private int Peek() => _at < _end || Fill() ? _buffer[_at] : -1;

    private int Take()
    {
        int c = Peek();
        _at++;
        _column++;
        if (c == '\n') (_line, _column) = (_line + 1, 1);
        return c;
    }

    private bool Fill()
    {
        (_at, _end) = (0, reader.Read(_buffer, 0, _buffer.Length));
        return _end > 0;
    }

    private TextSourceException Fault(string what) => Fault(what, _line, _column);

    private TextSourceException Fault(string what, int line, int column) => new($"'{path}', {new JsonFault(line, column, what)}.");
}
