namespace LowRankQuant.Quantization.Texts;

/// <summary>The text of rows with something between them, made as it is read.</summary>
/// <param name="rows">The rows; enumerated once.</param>
/// <param name="between">What stands between them; not empty.</param>
internal sealed class JoinedRows(IEnumerable<string> rows, string between = JoinedRows.BlankLine) : TextReader
{
    /// <summary>What papers put between the rows of WikiText-2.</summary>
    public const string BlankLine = "\n\n";

    private readonly IEnumerator<string> _rows = rows.GetEnumerator();
    private string _part = "";
    private int _at;
    private bool _begun;
    private bool _between;

    /// <summary>What a join puts between rows.</summary>
    public static string Between(TextJoin join) => join == TextJoin.Spaces ? " " : BlankLine;

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
            (_part, _at, _between) = _begun ? (between, 0, true) : (_rows.Current, 0, false);
            _begun = true;
        }
        while (_at == _part.Length);
        return true;
    }
}
