using System.Security.Cryptography;
using System.Text;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// The files that a path stands for: itself; all files of a folder, its folders included, that are texts by their ending; or what a pattern matches, with <c>*</c>
/// and <c>?</c> within a name and <c>**</c> for any folders. They are in the order of their names' bytes, whatever the system lists first. What begins with a dot
/// is left out, and a link that leads out of the folder is refused.
/// </summary>
internal static class TextFiles
{
    private const int MostFiles = 100_000;
    private const int MostDepth = 64;

    private static readonly string[] Endings = [".txt", ".json", ".jsonl", ".ndjson", ".csv", ".parquet", ".ids"];

    /// <summary>Whether a path has what only patterns have, and no file is called so.</summary>
    public static bool IsPattern(string path) => path.AsSpan().IndexOfAny('*', '?') >= 0 && !File.Exists(path) && !Directory.Exists(path);

    /// <summary>Whether a path may stand for several files.</summary>
    public static bool IsSeveral(string path) => Directory.Exists(path) || IsPattern(path);

    /// <summary>The files, at least one; of a path that is no folder and no pattern the path itself, whether it is there or not.</summary>
    /// <exception cref="TextSourceException">There is none, there are too many, or a link leads out of the folder.</exception>
    public static IReadOnlyList<string> Of(string path)
    {
        if (Directory.Exists(path)) return InFolder(path, path, IsText, $"'{path}' is a folder without a text: none of its files ends in {string.Join(", ", Endings)}, perhaps with .gz or .zst");
        if (!IsPattern(path)) return [path];
        // The folder in front of the first part that is a pattern.
        string[] parts = path.Split('/', '\\');
        int fixedParts = Array.FindIndex(parts, part => part.AsSpan().IndexOfAny('*', '?') >= 0);
        string folder = fixedParts == 0 ? "." : path[..(parts.Take(fixedParts).Sum(part => part.Length + 1) - 1)];
        if (folder.Length == 0) folder = "/";
        if (!Directory.Exists(folder)) throw new TextSourceException($"'{path}': there is no folder '{folder}'.");
        string[] pattern = parts[fixedParts..];
        return InFolder(path, folder, file => Matches(file.Split('/'), pattern), $"'{path}' matches no file");
    }

    /// <summary>SHA-256 of a file; of several that of their names and hashes, so that it is the same wherever they lie.</summary>
    public static string HashOf(IReadOnlyList<string> files)
    {
        if (files.Count == 1) return HashOf(files[0]);
        using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string file in files) all.AppendData(Encoding.UTF8.GetBytes($"{Path.GetFileName(file)} {HashOf(file)}\n"));
        return Convert.ToHexStringLower(all.GetHashAndReset());
    }

    private static string HashOf(string file)
    {
        using FileStream stream = File.OpenRead(file);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private static bool IsText(string name)
    {
        string unpacked = Unpacked.Name(name);
        return Endings.Any(ending => unpacked.EndsWith(ending, StringComparison.OrdinalIgnoreCase));
    }

    private static List<string> InFolder(string named, string folder, Func<string, bool> isWanted, string none)
    {
        string root = RealPath(new DirectoryInfo(folder));
        var found = new List<string>();
        Walk(new DirectoryInfo(folder), "", 0);
        if (found.Count == 0) throw new TextSourceException($"{none}.");
        found.Sort(StringComparer.Ordinal);
        return [.. found.Select(file => Path.Combine(folder, file.Replace('/', Path.DirectorySeparatorChar)))];

        void Walk(DirectoryInfo at, string prefix, int depth)
        {
            if (depth > MostDepth) throw new TextSourceException($"'{named}': folders are nested more than {MostDepth} levels deep.");
            foreach (FileSystemInfo entry in at.EnumerateFileSystemInfos())
            {
                if (entry.Name.StartsWith('.')) continue;
                string name = prefix + entry.Name;
                if (entry is DirectoryInfo inner)
                {
                    // A linked folder may hold the one it lies in.
                    if (inner.LinkTarget is not null) throw new TextSourceException($"'{named}': '{name}' is a link to a folder, which is not followed; name that folder too.");
                    Walk(inner, name + "/", depth + 1);
                }
                else if (isWanted(name))
                {
                    if (entry.LinkTarget is not null && !RealPath(entry).StartsWith(root + Path.DirectorySeparatorChar, StringComparison.Ordinal))
                        throw new TextSourceException($"'{named}': '{name}' is a link that leads out of the folder; name its file itself.");
                    if (found.Count == MostFiles) throw new TextSourceException($"'{named}' stands for more than {MostFiles} files.");
                    found.Add(name);
                }
            }
        }
    }

    // Links in the folder's own path do not count: what lies in it lies there too.
    private static string RealPath(FileSystemInfo entry, int depth = 0)
    {
        if (depth > MostDepth) throw new TextSourceException($"'{entry.FullName}': its links go round in a circle.");
        string full = Path.GetFullPath(entry.FullName), root = Path.GetPathRoot(full)!, real = root;
        foreach (string part in full[root.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries))
        {
            real = Path.Combine(real, part);
            FileSystemInfo here = Directory.Exists(real) ? new DirectoryInfo(real) : new FileInfo(real);
            if (here.ResolveLinkTarget(returnFinalTarget: false) is { } target) real = RealPath(target, depth + 1);
        }
        return real;
    }

    private static bool Matches(ReadOnlySpan<string> names, ReadOnlySpan<string> pattern)
    {
        if (pattern.IsEmpty) return names.IsEmpty;
        if (pattern[0] == "**")
        {
            for (int skipped = 0; skipped <= names.Length; skipped++)
            {
                if (Matches(names[skipped..], pattern[1..])) return true;
            }
            return false;
        }
        return !names.IsEmpty && System.IO.Enumeration.FileSystemName.MatchesSimpleExpression(pattern[0], names[0], ignoreCase: false) && Matches(names[1..], pattern[1..]);
    }
}
