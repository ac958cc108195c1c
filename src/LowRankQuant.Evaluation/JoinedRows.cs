namespace LowRankQuant.Evaluation;

/// <summary>The text of rows joined by <c>"\n\n"</c>, made as it is read.</summary>
/// <param name="rows">The rows; enumerated once.</param>
internal sealed class JoinedRows(IEnumerable<string> rows) : TextReader
{
    private const string Between = "\n\n";

    private readonly IEnumerator<string> _rows = rows.GetEnumerator();
    private string _part = "";
    private int _at;
    private bool _begun;
    private bool _between;

    /// <inheritdoc/>
    public override int Read(Span<char> buffer)
    {
        int written = 0;
        while (written < buffer.Length)
        {
            if (_at == _part.Length && !Next()) break;
            int count = Math.Min(buffer.Length - written, _part.Length - _at);
            _part.AsSpan(_at, count).CopyTo(buffer[written..]);
            _at += count;
            written += count;
        }
        return written;
    }

    /// <inheritdoc/>
    public override int Read(char[] buffer, int index, int count) => Read(buffer.AsSpan(index, count));

    /// <inheritdoc/>
    public override int Peek() => _at < _part.Length || Next() ? _part[_at] : -1;

    /// <inheritdoc/>
    public override int Read()
    {
        Span<char> one = stackalloc char[1];
        return Read(one) == 0 ? -1 : one[0];
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing) _rows.Dispose();
        base.Dispose(disposing);
    }

    // Rows may be empty; what stands between them is not.
    private bool Next()
    {
        do
        {
            if (_between)
            {
                (_part, _at, _between) = (_rows.Current, 0, false);
                continue;
            }
            if (!_rows.MoveNext()) return false;
            (_part, _at, _between) = _begun ? (Between, 0, true) : (_rows.Current, 0, false);
            _begun = true;
        }
        while (_at == _part.Length);
        return true;
    }
}
