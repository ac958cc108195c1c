using System.Collections.Concurrent;
using System.Text;

namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>Style sheets and the script of pages, which lie in the assembly.</summary>
internal static class PageFiles
{
    private static readonly ConcurrentDictionary<string, string> Known = new(StringComparer.Ordinal);

    /// <summary>A style sheet or script by the name of its file.</summary>
    public static string Style(string name) => Known.GetOrAdd(name, file =>
    {
        using Stream stream = typeof(PageFiles).Assembly.GetManifestResourceStream(file) ?? throw new InvalidOperationException($"The assembly lacks {file}.");
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd().ReplaceLineEndings("\n").TrimEnd();
    });
}
