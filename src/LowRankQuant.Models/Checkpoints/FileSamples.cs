using System.Security.Cryptography;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Hashes of large files: whole up to a size, beyond it evenly spread pieces with the length and the time of the last write.</summary>
internal static class FileSamples
{
    private const long WholeUpTo = 1L << 30;
    private const int Piece = 1 << 20;
    private const int Pieces = 256;

    public static void Append(IncrementalHash hash, string path)
    {
        using var file = File.OpenHandle(path);
        long length = RandomAccess.GetLength(file);
        hash.AppendData(BitConverter.GetBytes(length));
        bool whole = length <= WholeUpTo;
        if (!whole) hash.AppendData(BitConverter.GetBytes(File.GetLastWriteTimeUtc(path).Ticks));
        var buffer = new byte[Piece];
        long stride = whole ? Piece : length / Pieces;
        for (long offset = 0; offset < length; offset += stride)
        {
            int read = RandomAccess.Read(file, buffer, offset);
            hash.AppendData(buffer, 0, read);
        }
    }
}
