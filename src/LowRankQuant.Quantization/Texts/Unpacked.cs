using ZstdSharp;

namespace LowRankQuant.Quantization.Texts;

/// <summary>What a file holds once it is unpacked: by its first bytes, gzip and zstd are unpacked and all else is taken as it is.</summary>
internal static class Unpacked
{
    // A small file can unpack to anything; no file of a data set is as large.
    private const long MostOnDisk = 1L << 34;

    /// <summary>Name without the ending of what packed it.</summary>
    public static string Name(string path) =>
        path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? path[..^3] : path.EndsWith(".zst", StringComparison.OrdinalIgnoreCase) ? path[..^4] : path;

    /// <summary>What packed a file, by its first bytes; null for nothing.</summary>
    public static string? By(ReadOnlySpan<byte> head) => ContentKind.IsGzip(head) ? "gzip" : ContentKind.IsZstd(head) ? "zstd" : null;

    /// <summary>Unpacks as it is read.</summary>
    /// <param name="file">The file, at its start; disposed with the result.</param>
    /// <param name="packing">What packed it.</param>
    /// <returns>A stream that throws <see cref="InvalidDataException"/> where the file is damaged or cut short.</returns>
    public static Stream Stream(Stream file, string packing) => packing == "gzip" ? new CompleteGzipStream(file) : new CompleteZstdStream(file);

    /// <summary>The file itself, or what it unpacks to in a temporary file that goes with the stream.</summary>
    /// <exception cref="InvalidDataException">It is damaged, cut short, or unpacks to too much.</exception>
    public static Stream Seekable(string path)
    {
        FileStream file = File.OpenRead(path);
        try
        {
            byte[] head = new byte[8];
            int read = file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
            file.Position = 0;
            if (By(head.AsSpan(0, read)) is not { } packing) return file;
            using Stream unpacked = Stream(file, packing);
            string place = Path.Combine(Path.GetTempPath(), $"lrq-{Guid.NewGuid():N}.parquet");
            var whole = new FileStream(place, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
            try
            {
                byte[] buffer = new byte[1 << 16];
                for (int count; (count = unpacked.Read(buffer, 0, buffer.Length)) > 0;)
                {
                    if (whole.Length + count > MostOnDisk) throw new InvalidDataException($"it unpacks to more than {MostOnDisk >> 30} GiB");
                    whole.Write(buffer, 0, count);
                }
                whole.Position = 0;
                return whole;
            }
            catch
            {
                whole.Dispose();
                throw;
            }
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Unpacks a zstd file of any number of frames and refuses one that is cut short.</summary>
    private sealed class CompleteZstdStream(Stream file) : ForwardStream
    {
        private readonly DecompressionStream _inner = new(file, checkEndOfStream: true, leaveOpen: false);

        public override int Read(Span<byte> buffer)
        {
            try
            {
                return _inner.Read(buffer);
            }
            catch (Exception failure) when (failure is ZstdException or EndOfStreamException)
            {
                throw new InvalidDataException("The file is damaged, cut short, or something else stands behind its end.", failure);
            }
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing) _inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
