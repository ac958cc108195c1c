namespace LowRankQuant.Cli.Options;

/// <summary>Where paths lie within each other.</summary>
internal static class FolderPath
{
    /// <summary>Whether <paramref name="path"/> is the folder or something in it, links followed where they lead to something.</summary>
    public static bool Holds(string folder, string path)
    {
        string outer = Resolve(folder) + Path.DirectorySeparatorChar, inner = Resolve(path) + Path.DirectorySeparatorChar;
        return inner.StartsWith(outer, OperatingSystem.IsWindows() ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal);
    }

    /// <summary>The file that keeps a folder from being made: the path itself or what should hold it; null where nothing does.</summary>
    public static string? FileInTheWay(string folder)
    {
        for (string? path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)); path is not null && !Directory.Exists(path); path = Path.GetDirectoryName(path))
        {
            if (File.Exists(path)) return path;
        }
        return null;
    }

    private static string Resolve(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        FileSystemInfo entry = Directory.Exists(full) ? new DirectoryInfo(full) : new FileInfo(full);
        FileSystemInfo? target = entry.Exists ? entry.ResolveLinkTarget(returnFinalTarget: true) : null;
        return target is null ? full : Path.TrimEndingDirectorySeparator(target.FullName);
    }
}
