namespace LowRankQuant.Formats;

/// <summary>Files that appear under their name only when they are complete and flushed to disk; until then they carry the suffix <c>.partial</c>.</summary>
internal static class AtomicFile
{
    /// <summary>Writes to <c>path.partial</c>, flushes to disk and renames; removes the partial file when the callback fails.</summary>
    /// <param name="path">Destination; an existing file is replaced when the new one is complete.</param>
    /// <param name="write">Writes the contents.</param>
    /// <exception cref="IOException">The disk is full or the path cannot be written; nothing is left behind.</exception>
    public static void Write(string path, Action<FileStream> write)
    {
        string partial = path + ".partial";
        try
        {
            using (FileStream stream = new(partial, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 20))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }

    /// <summary>Looks before anything is written whether the disk has room.</summary>
    /// <exception cref="IOException">It has less than <paramref name="bytes"/> free.</exception>
    public static void CheckDisk(string path, long bytes)
    {
        string? folder = Path.GetDirectoryName(Path.GetFullPath(path));
        while (folder is not null && !Directory.Exists(folder)) folder = Path.GetDirectoryName(folder);
        if (folder is null) return;
        long free = new DriveInfo(folder).AvailableFreeSpace;
        if (free < bytes) throw new IOException($"{path} needs {bytes} bytes; the disk has {free} free.");
    }
}
