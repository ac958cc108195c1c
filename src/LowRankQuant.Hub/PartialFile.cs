namespace LowRankQuant.Hub;

/// <summary>A file that is being fetched: what is there of it, on disk and hashed.</summary>
internal sealed class PartialFile : IDisposable
{
    private const int BufferSize = 1 << 20;
    private readonly string _path;
    private readonly HubFile _file;
    private readonly Action<long> _advance;
    private readonly FileStream _stream;
    private ContentHash _hash;

    /// <summary>Opens what an earlier try left, or begins.</summary>
    /// <param name="path">The file on disk.</param>
    /// <param name="file">What it shall be.</param>
    /// <param name="advance">Told how many bytes are there more.</param>
    /// <exception cref="IOException">It cannot be read or written.</exception>
    public PartialFile(string path, HubFile file, Action<long> advance)
    {
        (_path, _file, _advance) = (path, file, advance);
        _hash = new ContentHash(file.ETag, file.Size);
        _stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
        try
        {
            // More than the file has is no part of it.
            if (_stream.Length > file.Size) _stream.SetLength(0);
            var buffer = new byte[BufferSize];
            for (long left = _stream.Length; left > 0; left = _stream.Length - Length)
            {
                Span<byte> read = buffer.AsSpan(0, (int)Math.Min(left, BufferSize));
                _stream.ReadExactly(read);
                _hash.Append(read);
                Length += read.Length;
            }
            _advance(Length);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Bytes that are there.</summary>
    public long Length { get; private set; }

    /// <summary>Bytes that were added, those thrown away again included.</summary>
    public long Added { get; private set; }

    /// <summary>Hash of what is there.</summary>
    public string Hash => _hash.Text();

    /// <summary>Adds bytes.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        _stream.Write(bytes);
        _hash.Append(bytes);
        Length += bytes.Length;
        Added += bytes.Length;
        _advance(bytes.Length);
    }

    /// <summary>Throws away what is there.</summary>
    public void Restart()
    {
        _stream.SetLength(0);
        _stream.Position = 0;
        _hash.Dispose();
        _hash = new ContentHash(_file.ETag, _file.Size);
        _advance(-Length);
        Length = 0;
    }

    /// <summary>Puts the whole file to its place.</summary>
    public void Complete(string path)
    {
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        File.Move(_path, path, overwrite: true);
    }

    public void Dispose()
    {
        _stream.Dispose();
        _hash.Dispose();
    }
}
