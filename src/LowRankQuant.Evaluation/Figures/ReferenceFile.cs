using System.Runtime.InteropServices;
using System.Security.Cryptography;
using LowRankQuant.Formats;
using Microsoft.Win32.SafeHandles;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>
/// A file of a <see cref="ReferenceCache"/>, little-endian: 8 bytes that say what it is, the 32 bytes of the hash that names it, the numbers of windows and of columns as 32-bit
/// integers; then of every window its states [length, columns] as 32-bit floats and their SHA-256. One window is in memory at a time.
/// </summary>
internal sealed class ReferenceFile : IDisposable
{
    private const int DigestSize = SHA256.HashSizeInBytes, HeadSize = 8 + DigestSize + (2 * sizeof(int));
    private static readonly byte[] Mark = "lrqstat1"u8.ToArray();

    private readonly string _path;
    private readonly int[] _lengths;
    private readonly int _columns;
    private readonly SafeFileHandle _file;

    private ReferenceFile(string path, int[] lengths, int columns, SafeFileHandle file) => (_path, _lengths, _columns, _file) = (path, lengths, columns, file);

    /// <summary>Bytes of a file.</summary>
    /// <param name="lengths">Tokens of its windows.</param>
    /// <param name="columns">Width of the states.</param>
    public static long Size(IEnumerable<int> lengths, int columns) => HeadSize + lengths.Sum(length => Bytes(length, columns) + DigestSize);

    /// <summary>Writes a file, whole or not at all.</summary>
    /// <param name="path">Its place.</param>
    /// <param name="hash">The hash that names it.</param>
    /// <param name="lengths">Tokens of its windows.</param>
    /// <param name="columns">Width of the states.</param>
    /// <param name="read">Gives the states of a window, [length * columns].</param>
    /// <exception cref="IOException">The disk is full, or the place cannot be written.</exception>
    public static void Write(string path, byte[] hash, IReadOnlyList<int> lengths, int columns, Func<int, float[]> read) => AtomicFile.Write(path, stream =>
    {
        stream.Write(Head(hash, lengths.Count, columns));
        for (int i = 0; i < lengths.Count; i++)
        {
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(read(i).AsSpan());
            stream.Write(bytes);
            stream.Write(SHA256.HashData(bytes));
        }
    });

    /// <summary>Opens a file; null where there is none.</summary>
    /// <param name="path">Its place.</param>
    /// <param name="hash">The hash that names it.</param>
    /// <param name="lengths">Tokens of the windows that it must hold.</param>
    /// <param name="columns">Width of the states.</param>
    /// <exception cref="EvaluationException">The file is another one, or not whole.</exception>
    public static ReferenceFile? TryOpen(string path, byte[] hash, int[] lengths, int columns)
    {
        if (!File.Exists(path)) return null;
        var opened = new ReferenceFile(path, lengths, columns, File.OpenHandle(path));
        try
        {
            long size = RandomAccess.GetLength(opened._file), expected = Size(lengths, columns);
            if (size != expected) throw opened.Unsound($"it has {size} bytes in place of {expected}");
            var head = new byte[HeadSize];
            opened.ReadFully(head, 0);
            if (!head.AsSpan().SequenceEqual(Head(hash, lengths.Length, columns))) throw opened.Unsound("its head is not that of these states");
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>Reads the states of a window.</summary>
    /// <param name="window">Its number within the file.</param>
    /// <returns>Its states, [length * columns].</returns>
    /// <exception cref="EvaluationException">They are not what was written.</exception>
    public float[] Read(int window)
    {
        long offset = HeadSize;
        for (int i = 0; i < window; i++) offset += Bytes(_lengths[i], _columns) + DigestSize;
        var states = new float[_lengths[window] * _columns];
        Span<byte> bytes = MemoryMarshal.AsBytes(states.AsSpan());
        ReadFully(bytes, offset);
        var digest = new byte[DigestSize];
        ReadFully(digest, offset + bytes.Length);
        if (!digest.AsSpan().SequenceEqual(SHA256.HashData(bytes))) throw Unsound($"the states of its window {window} are not what was written (SHA-256)");
        return states;
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static long Bytes(int length, int columns) => (long)length * columns * sizeof(float);

    private static byte[] Head(byte[] hash, int windows, int columns) => [.. Mark, .. hash, .. BitConverter.GetBytes(windows), .. BitConverter.GetBytes(columns)];

    private EvaluationException Unsound(string what) => new($"`reference_cache`: '{_path}' cannot be used: {what}. Delete it; it is then made again.");

    private void ReadFully(Span<byte> destination, long offset)
    {
        while (!destination.IsEmpty)
        {
            int read = RandomAccess.Read(_file, destination, offset);
            if (read == 0) throw Unsound("it ends too early");
            destination = destination[read..];
            offset += read;
        }
    }
}
