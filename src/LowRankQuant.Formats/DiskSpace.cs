using System.Globalization;

namespace LowRankQuant.Formats;

/// <summary>Looks before anything is written whether a disk has room.</summary>
public static class DiskSpace
{
    private const double Megabyte = 1e6;

    /// <summary>What is wrong with writing to a place: one sentence with the remedy, or null when there is room.</summary>
    /// <param name="path">A file or folder; it need not exist yet.</param>
    /// <param name="bytes">Bytes that will be written there.</param>
    public static string? Shortage(string path, long bytes)
    {
        string? existing = Path.GetFullPath(path);
        while (existing is not null && !Directory.Exists(existing)) existing = Path.GetDirectoryName(existing);
        if (existing is null) return null;
        long free = new DriveInfo(existing).AvailableFreeSpace;
        return free >= bytes ? null : string.Create(CultureInfo.InvariantCulture,
            $"{path}: {bytes / Megabyte:N1} MB are needed on this disk and {free / Megabyte:N1} MB are free; make room or choose another place.");
    }

    /// <summary>Goes on only where there is room.</summary>
    /// <inheritdoc cref="Shortage"/>
    /// <exception cref="IOException">The disk has less free; nothing was written.</exception>
    public static void Require(string path, long bytes)
    {
        if (Shortage(path, bytes) is { } problem) throw new IOException(problem);
    }
}
