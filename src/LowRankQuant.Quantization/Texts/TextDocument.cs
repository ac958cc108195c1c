using System.Text;

namespace LowRankQuant.Quantization.Texts;

/// <summary>One document of a source: a text that may be read in part, or token ids.</summary>
internal abstract class TextDocument
{
    /// <summary>Ids when the source holds ids, else null.</summary>
    public virtual int[]? Ids => null;

    /// <summary>Whether the text itself begins with the begin-of-text token, as a chat template may put it there.</summary>
    public virtual bool HasBos => false;

    /// <summary>Whether the text itself ends with the end-of-text token.</summary>
    public virtual bool HasEos => false;

    /// <summary>Appends about <paramref name="characters"/> more characters; false when the document has ended.</summary>
    public abstract bool Read(StringBuilder destination, int characters);
}

/// <summary>A document that is there as a whole.</summary>
/// <param name="text">Its text.</param>
/// <param name="hasBos">Whether a template put the begin-of-text token in front.</param>
/// <param name="hasEos">Whether a template put the end-of-text token behind.</param>
/// <param name="spans">Start and end of everything that the assistant of a conversation says; null where it is none, or nobody asked.</param>
internal sealed class StringDocument(string text, bool hasBos = false, bool hasEos = false, IReadOnlyList<(int Start, int End)>? spans = null) : TextDocument
{
    private bool _read;

    /// <summary>Where the assistant of a conversation speaks.</summary>
    public IReadOnlyList<(int Start, int End)>? Spans => spans;

    /// <summary>The whole text.</summary>
    public string Text => text;

    public override bool HasBos => hasBos;

    public override bool HasEos => hasEos;

    public override bool Read(StringBuilder destination, int characters)
    {
        if (!_read) destination.Append(text);
        _read = true;
        return false;
    }
}

/// <summary>A line of token ids.</summary>
internal sealed class IdsDocument(int[] ids) : TextDocument
{
    public override int[]? Ids => ids;

    public override bool Read(StringBuilder destination, int characters) => false;
}

/// <summary>
/// A part of a text file, up to a line that holds an end-of-text token alone. The line end in front of that line belongs to the separator.
/// </summary>
internal sealed class TextFileDocument(LineScanner lines, IReadOnlyCollection<string> separators) : TextDocument
{
    private string _pendingLineEnd = "";
    private bool _ended;

    /// <summary>Whether the file has ended, not only the document.</summary>
    public bool FileEnded { get; private set; }

    public override bool Read(StringBuilder destination, int characters)
    {
        long stop = (long)destination.Length + characters;
        while (!_ended && destination.Length < stop)
        {
            if (!lines.Next(out ReadOnlySpan<char> content, out string lineEnd, out bool wholeLine))
            {
                destination.Append(_pendingLineEnd);
                _ended = FileEnded = true;
                break;
            }
            if (wholeLine && IsSeparator(content))
            {
                _ended = true;
                break;
            }
            destination.Append(_pendingLineEnd).Append(content);
            _pendingLineEnd = lineEnd;
        }
        return !_ended;
    }

    private bool IsSeparator(ReadOnlySpan<char> line)
    {
        foreach (string separator in separators)
        {
            if (line.SequenceEqual(separator)) return true;
        }
        return false;
    }
}

/// <summary>A document that is read from elsewhere, a part at a time.</summary>
/// <param name="reader">Its text.</param>
internal sealed class ReaderDocument(TextReader reader) : TextDocument
{
    public override bool Read(StringBuilder destination, int characters)
    {
        char[] buffer = new char[Math.Min(characters, 1 << 16)];
        for (int left = characters; left > 0;)
        {
            int read = reader.Read(buffer, 0, Math.Min(left, buffer.Length));
            if (read == 0) return false;
            destination.Append(buffer, 0, read);
            left -= read;
        }
        return true;
    }
}

/// <summary>The characters of a document.</summary>
/// <param name="document">The document.</param>
internal sealed class DocumentReader(TextDocument document) : TextReader
{
    private readonly StringBuilder _part = new();
    private int _at;
    private bool _ended;

    public override int Read(char[] buffer, int index, int count) => Read(buffer.AsSpan(index, count));

    public override int Read(Span<char> buffer)
    {
        if (_at == _part.Length && !Fill()) return 0;
        int count = Math.Min(buffer.Length, _part.Length - _at);
        _part.CopyTo(_at, buffer, count);
        _at += count;
        return count;
    }

    public override int Read()
    {
        Span<char> one = stackalloc char[1];
        return Read(one) == 0 ? -1 : one[0];
    }

    public override int Peek() => _at < _part.Length || Fill() ? _part[_at] : -1;

    private bool Fill()
    {
        _part.Clear();
        _at = 0;
        while (!_ended && _part.Length == 0) _ended = !document.Read(_part, 1 << 16);
        return _part.Length > 0;
    }
}
