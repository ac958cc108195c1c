namespace LowRankQuant.Formats;

/// <summary>
/// A file that breaks the rules of its format, or holds something that cannot be represented here. The message names the file, the tensor or key,
/// the value found, the rule and, where there is one, the remedy.
/// </summary>
public sealed class CheckpointFormatException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="kind">Short stable name of the broken rule, such as <c>truncated-data</c> or <c>unknown-dtype</c>.</param>
    /// <param name="file">Path of the file.</param>
    /// <param name="item">Tensor, metadata key or configuration key; null when the whole file is meant.</param>
    /// <param name="message">What was found, which rule it breaks, what to do.</param>
    /// <param name="inner">The exception of a parser underneath, or null.</param>
    public CheckpointFormatException(string kind, string file, string? item, string message, Exception? inner = null)
        : base(Describe(kind, file, item, message), inner)
    {
        Kind = kind;
        File = file;
        Item = item;
    }

    /// <summary>Short stable name of the broken rule.</summary>
    public string Kind { get; }

    /// <summary>Path of the file.</summary>
    public string File { get; }

    /// <summary>Tensor, metadata key or configuration key; null when the whole file is meant.</summary>
    public string? Item { get; }

    private static string Describe(string kind, string file, string? item, string message) =>
        item is null ? $"{file}: {message} [{kind}]" : $"{file}: '{Shorten(item)}': {message} [{kind}]";

    // A hostile name may be megabytes long or hold control characters that rewrite a terminal line.
    private static string Shorten(string item)
    {
        string text = item.Length > 200 ? item[..200] + "..." : item;
        return string.Create(text.Length, text, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = char.IsControl(source[i]) ? '?' : source[i];
        });
    }
}
