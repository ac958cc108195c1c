namespace LowRankQuant.Quantization.Texts;

/// <summary>Reads text line by line without losing line ends, and a line of any length in pieces.</summary>
internal sealed class LineScanner(TextReader reader)
{
    private readonly char[] _buffer = new char[1 << 16];
    private int _start;
    private int _end;
    private bool _ended;
    private bool _atLineStart = true;

    /// <summary>The next piece of text, at most 65,536 characters; false at the end.</summary>
    /// <param name="content">Its characters without the line end; valid until the next call.</param>
    /// <param name="lineEnd"><c>"\n"</c>, <c>"\r\n"</c>, or empty when the line goes on or the text ends here.</param>
    /// <param name="wholeLine">Whether <paramref name="content"/> is a whole line.</param>
    public bool Next(out ReadOnlySpan<char> content, out string lineEnd, out bool wholeLine)
    {
        int searched = 0;
        while (true)
        {
            int found = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf('\n');
            if (found >= 0)
            {
                int length = searched + found;
                bool carriageReturn = length > 0 && _buffer[_start + length - 1] == '\r';
                content = _buffer.AsSpan(_start, carriageReturn ? length - 1 : length);
                lineEnd = carriageReturn ? "\r\n" : "\n";
                wholeLine = _atLineStart;
                _start += length + 1;
                _atLineStart = true;
                return true;
            }
            searched = _end - _start;
            if (_ended || searched == _buffer.Length)
            {
                // The last character stays back: it may be the first half of "\r\n".
                int length = _ended ? searched : searched - 1;
                content = _buffer.AsSpan(_start, length);
                lineEnd = "";
                wholeLine = _ended && _atLineStart;
                _start += length;
                _atLineStart = false;
                return length > 0;
            }
            Fill();
        }
    }

    private void Fill()
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        _end -= _start;
        _start = 0;
        int read = reader.Read(_buffer, _end, _buffer.Length - _end);
        _end += read;
        _ended = read == 0;
    }
}
