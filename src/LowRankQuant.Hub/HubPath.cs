using System.IO.Enumeration;

namespace LowRankQuant.Hub;

/// <summary>Names of files within a repository. They come from a server and become files here: none may lead out of its folder.</summary>
internal static class HubPath
{
    private const int Longest = 1024, LongestPart = 255;

    /// <summary>Whether a name has parts between slashes that are plain names on every system.</summary>
    public static bool IsSafe(string path) => path.Length is > 0 and <= Longest && Array.TrueForAll(path.Split('/'), IsPlain);

    /// <summary>Goes on only with a safe name.</summary>
    /// <param name="path">The name.</param>
    /// <param name="where">What it stands in, for the message.</param>
    /// <exception cref="HubException">The name leads elsewhere.</exception>
    public static void Require(string path, string where)
    {
        if (!IsSafe(path)) throw new HubException($"{where}: '{Shown(path)}' must be parts between slashes, none of them empty, '.' or '..', without backslash, colon or control characters; such a file is not written.");
    }

    /// <summary>Whether a name matches one of the patterns; <c>*</c> stands for any characters, slashes too, <c>?</c> for one.</summary>
    public static bool Matches(string path, IReadOnlyList<string> patterns) =>
        patterns.Any(pattern => FileSystemName.MatchesSimpleExpression(pattern, path, ignoreCase: false));

    /// <summary>The file on this system.</summary>
    public static string Under(string folder, string path) => Path.Combine([folder, .. path.Split('/')]);

    private static bool IsPlain(string part) =>
        part.Length is > 0 and <= LongestPart && part is not ("." or "..") && !part.AsSpan().ContainsAny('\\', ':') && !part.Any(char.IsControl);

    private static string Shown(string path) => path.Length <= LongestPart ? path : path[..LongestPart] + "...";
}
