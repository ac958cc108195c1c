using System.Text.RegularExpressions;

namespace LowRankQuant.Formats.Modules;

/// <summary>
/// A regular expression over module names. Patterns come from untrusted files: they run on the linear-time engine, or, where they need look-around,
/// under a time limit.
/// </summary>
internal sealed class NamePattern
{
    private const int MaxLength = 4096;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(1);

    private readonly string _file;
    private readonly string _shown;
    private readonly Regex _regex;

    /// <summary>Compiles a pattern.</summary>
    /// <param name="file">File it comes from, for messages.</param>
    /// <param name="key">Key it stands under, for messages.</param>
    /// <param name="pattern">The expression.</param>
    /// <param name="fromStart">Whether it must match from the start of the name; it need not reach the end.</param>
    /// <param name="shown">The pattern as the file has it, for messages.</param>
    /// <exception cref="CheckpointFormatException">It is too long, or no regular expression (<c>config-pattern</c>).</exception>
    public NamePattern(string file, string key, string pattern, bool fromStart, string shown)
    {
        _file = file;
        _shown = shown;
        if (pattern.Length > MaxLength)
            throw new CheckpointFormatException("config-pattern", file, key, $"a pattern of {pattern.Length} characters; at most {MaxLength} are read.");
        _regex = Compile(key, fromStart ? $@"\A(?:{pattern})" : pattern);
    }

    /// <summary>Whether the pattern matches a module's name.</summary>
    /// <exception cref="CheckpointFormatException">It takes too long (<c>config-pattern</c>).</exception>
    public bool Matches(string module)
    {
        try
        {
            return _regex.IsMatch(module);
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new CheckpointFormatException("config-pattern", _file, _shown, $"takes longer than {Limit.TotalSeconds} s to match.", e);
        }
    }

    private Regex Compile(string key, string pattern)
    {
        try
        {
            try
            {
                return new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, Limit);
            }
            catch (NotSupportedException)
            {
                return new Regex(pattern, RegexOptions.CultureInvariant, Limit);
            }
        }
        catch (ArgumentException e)
        {
            throw new CheckpointFormatException("config-pattern", _file, key, $"'{_shown}' is not a regular expression: {e.Message}", e);
        }
    }
}
