using System.IO.Compression;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// Unpacks a gzip file of any number of members and refuses one that is cut short, which the framework's stream takes for a shorter one: behind the file
/// stands one more member of our own, and only of a complete file it is what the unpacked data end in.
/// </summary>
internal sealed class CompleteGzipStream : ForwardStream
{
    private const int MarkLength = 16;
    private static readonly byte[] Mark = [0x9D, 0x41, 0xE6, 0x07, 0xB2, 0x5C, 0xF8, 0x13, 0x6A, 0xCF, 0x30, 0x85, 0x1E, 0xD7, 0x49, 0xA4];

    private readonly GZipStream _inner;
    private readonly byte[] _buffer = new byte[1 << 16];

    // The last bytes unpacked stay back until it is known whether they are the mark.
    private int _start;
    private int _end;
    private bool _ended;

    /// <param name="file">The file; disposed with this stream.</param>
    public CompleteGzipStream(Stream file) => _inner = new GZipStream(new MarkedStream(file), CompressionMode.Decompress);

    /// <exception cref="InvalidDataException">The file is damaged or cut short.</exception>
    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        while (!_ended && _end - _start <= MarkLength) Fill();
        int count = Math.Min(buffer.Length, _end - _start - (_ended ? 0 : MarkLength));
        _buffer.AsSpan(_start, count).CopyTo(buffer);
        _start += count;
        return count;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _inner.Dispose();
        base.Dispose(disposing);
    }

    private void Fill()
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        _end -= _start;
        _start = 0;
        int read = _inner.Read(_buffer, _end, _buffer.Length - _end);
        _end += read;
        if (read > 0) return;
        if (_end != MarkLength || !_buffer.AsSpan(0, MarkLength).SequenceEqual(Mark))
            throw new InvalidDataException("The file is cut short, or something else stands behind its end.");
        (_end, _ended) = (0, true);
    }

    /// <summary>A file, and behind it a gzip member that holds the mark.</summary>
    private sealed class MarkedStream(Stream file) : ForwardStream
    {
        private readonly MemoryStream _mark = Pack();
        private bool _fileEnded;

        public override int Read(Span<byte> buffer)
        {
            int read = _fileEnded ? 0 : file.Read(buffer);
            if (read > 0) return read;
            _fileEnded = true;
            return _mark.Read(buffer);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                file.Dispose();
                _mark.Dispose();
            }
            base.Dispose(disposing);
        }

        private static MemoryStream Pack()
        {
            var packed = new MemoryStream();
            using (var gzip = new GZipStream(packed, CompressionLevel.NoCompression, leaveOpen: true)) gzip.Write(Mark);
            packed.Position = 0;
            return packed;
        }
    }
}

/// <summary>A stream that is read once from its start.</summary>
internal abstract class ForwardStream : Stream
{
    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public abstract override int Read(Span<byte> buffer);

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
