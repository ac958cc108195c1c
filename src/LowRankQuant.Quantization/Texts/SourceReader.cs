using System.Text;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// Reads a text file of any length, plain or packed by gzip or zstd (known by its first bytes, whatever the name), and knows how much of it is read. Bytes that
/// are no UTF-8, NUL bytes, damage and other formats are refused by name. A byte order mark is skipped.
/// </summary>
internal sealed class SourceReader : TextReader
{
    private readonly string _path;
    private readonly FileStream _file;
    private readonly Stream? _packed;
    private readonly string? _packing;
    private readonly StreamReader _reader;
    private bool _closed;

    /// <param name="path">The file.</param>
    /// <exception cref="TextSourceException">There is no such file, it is a folder, empty, or of a format that is no text.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public SourceReader(string path)
    {
        CheckExists(path);
        _path = path;
        _file = File.OpenRead(path);
        try
        {
            if (_file.Length == 0) throw new TextSourceException($"'{path}' is empty; name a file that holds text.");
            byte[] head = Head(_file);
            _file.Position = 0;
            _packing = Unpacked.By(head);
            if (_packing is null && ContentKind.Foreign(head) is var (what, remedy)) throw new TextSourceException($"'{path}' is {what}, which is not read as text; {remedy}.");
            RefuseOtherName(path, _packing);
            if (_packing is { } packing) CheckPacked(path, packing);
            // An encoding with a byte order mark: the reader skips it.
            var encoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: true, throwOnInvalidBytes: true);
            _packed = _packing is null ? null : Unpacked.Stream(_file, _packing);
            _reader = new StreamReader(_packed ?? _file, encoding, detectEncodingFromByteOrderMarks: false, bufferSize: 1 << 16);
        }
        catch (Exception failure)
        {
            _file.Dispose();
            if (Translated(failure) is { } named) throw named;
            throw;
        }
    }

    /// <summary>The part of the file that is read, 0 to 1; a buffer ahead of what was asked for; 1 once it is closed.</summary>
    public double Share => _closed || _file.Length == 0 ? 1 : (double)_file.Position / _file.Length;

    /// <summary>Refuses what is no file.</summary>
    /// <exception cref="TextSourceException">There is no such file, or it is a folder.</exception>
    public static void CheckExists(string path)
    {
        if (Directory.Exists(path)) throw new TextSourceException($"'{path}' is a folder; name a file that holds text, token ids or JSON.");
        if (!File.Exists(path)) throw new TextSourceException($"'{path}' is not a file; name one that holds text, token ids or JSON.");
    }

    /// <inheritdoc/>
    public override int Read(char[] buffer, int index, int count) => Read(buffer.AsSpan(index, count));

    /// <inheritdoc/>
    public override int Read(Span<char> buffer)
    {
        int read = Guarded(buffer);
        if (buffer[..read].Contains('\0')) throw new TextSourceException($"'{_path}' holds NUL bytes: it is no text but a binary format that is not known; name a text.");
        return read;
    }

    /// <inheritdoc/>
    public override int Read()
    {
        Span<char> one = stackalloc char[1];
        return Read(one) == 0 ? -1 : one[0];
    }

    /// <inheritdoc/>
    public override int Peek()
    {
        try
        {
            return _reader.Peek();
        }
        catch (Exception failure) when (Translated(failure) is { } named)
        {
            throw named;
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing) _reader.Dispose();
        _closed = true;
        base.Dispose(disposing);
    }

    private static void RefuseOtherName(string path, string? packing)
    {
        (string ending, string named) = path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? (".gz", "gzip") : path.EndsWith(".zst", StringComparison.OrdinalIgnoreCase) ? (".zst", "zstd") : ("", "");
        if (named.Length > 0 && packing != named) throw new TextSourceException($"'{path}' is named {ending} and is no {named} file; rename it, or download it again.");
    }

    private static byte[] Head(Stream stream)
    {
        byte[] head = new byte[ContentKind.HeadLength];
        return head[..stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)];
    }

    /// <summary>Looks at the beginning of what is packed.</summary>
    private static void CheckPacked(string path, string packing)
    {
        using Stream packed = Unpacked.Stream(File.OpenRead(path), packing);
        if (ContentKind.Foreign(Head(packed)) is var (what, remedy))
            throw new TextSourceException($"'{path}' holds, packed by {packing}, something that is {what} and not read as text; {remedy}.");
    }

    private int Guarded(Span<char> buffer)
    {
        try
        {
            return _reader.Read(buffer);
        }
        catch (Exception failure) when (Translated(failure) is { } named)
        {
            throw named;
        }
    }

    private InvalidDataException? Damaged()
    {
        if (_packed is null) return null;
        try
        {
            byte[] rest = new byte[1 << 16];
            while (_packed.Read(rest) > 0)
            {
            }
            return null;
        }
        catch (InvalidDataException failure)
        {
            return failure;
        }
    }

    private TextSourceException? Translated(Exception failure) => failure switch
    {
        // Of a file that is cut short the last bytes may be none of its own.
        DecoderFallbackException when Damaged() is { } damage => Translated(damage),
        DecoderFallbackException bad => new TextSourceException(
            $"'{_path}' is not UTF-8 text (byte 0x{(bad.BytesUnknown is [byte first, ..] ? first : 0):X2}); " +
            "if it is in Latin-1 or another encoding, convert it: iconv -f LATIN1 -t UTF-8 FILE.", failure),
        InvalidDataException => new TextSourceException(
            $"'{_path}' is not a sound {_packing ?? "gzip"} file: it is damaged, cut short, or has something else behind its end; download or pack it again.", failure),
        _ => null,
    };
}
