using System.Text;

namespace LowRankQuant.Formats;

/// <summary>
/// Files that are either whole or as they were before. A file is written beside its place under the name <see cref="PartialOf"/>, flushed to disk and
/// renamed; what stood in its place is not touched until then. Whatever goes wrong removes what was written and is thrown on. What a killed process left
/// under that name is overwritten by the next one.
/// </summary>
public static class AtomicFile
{
    /// <summary>What a file's name ends in until the file is complete.</summary>
    public const string Suffix = ".partial";

    private const int BufferSize = 1 << 20;

    /// <summary>
    /// The name of a file until it is complete. A test that puts a link to Linux's <c>/dev/full</c> there makes the write fail as a full disk does.
    /// </summary>
    public static string PartialOf(string path) => path + Suffix;

    /// <summary>Writes a file piece by piece.</summary>
    /// <param name="path">Destination; its folder is made where it is missing.</param>
    /// <param name="write">Writes the contents.</param>
    /// <exception cref="IOException">The disk is full or the path cannot be written.</exception>
    public static void Write(string path, Action<Stream> write) => Write(path, write, BufferSize);

    /// <summary>Writes a file that is in memory.</summary>
    /// <inheritdoc cref="Write(string, Action{Stream})"/>
    public static void WriteAllBytes(string path, ReadOnlyMemory<byte> bytes) => Write(path, stream => stream.Write(bytes.Span), bufferSize: 0);

    /// <summary>Writes a text in UTF-8, without a byte order mark.</summary>
    /// <inheritdoc cref="Write(string, Action{Stream})"/>
    public static void WriteAllText(string path, string text) => WriteAllBytes(path, Encoding.UTF8.GetBytes(text));

    private static void Write(string path, Action<Stream> write, int bufferSize)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        string partial = PartialOf(path);
        FileStream file = new(partial, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize);
        try
        {
            using (file)
            {
                write(file);
                file.Flush(flushToDisk: true);
            }
            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }
}
