using System.Text.RegularExpressions;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>
/// Decides whether a list of targets names a module: by its full name, by a <c>re:</c> pattern matched from the start of the name, or by its class.
/// Patterns come from untrusted files: they run on the linear-time engine, or, where they need look-around, under a time limit.
/// </summary>
internal sealed class TargetMatcher
{
    private const int MaxPatternLength = 4096;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(1);

    private readonly string _file;
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly List<(string Pattern, Regex Regex)> _patterns = [];

    public TargetMatcher(string file, string key, IReadOnlyList<string> targets)
    {
        _file = file;
        foreach (string target in targets)
        {
            if (!target.StartsWith("re:", StringComparison.Ordinal)) _names.Add(target);
            else _patterns.Add((target, Compile(key, target[3..])));
        }
    }

    public bool MatchesName(string module) => _names.Contains(module);

    public bool MatchesClass(string moduleClass) => _names.Contains(moduleClass);

    public bool MatchesPattern(string module)
    {
        foreach ((string pattern, Regex regex) in _patterns)
        {
            try
            {
                if (regex.IsMatch(module)) return true;
            }
            catch (RegexMatchTimeoutException e)
            {
                throw new CheckpointFormatException("config-pattern", _file, pattern, $"takes longer than {Limit.TotalSeconds} s to match.", e);
            }
        }
        return false;
    }

    private Regex Compile(string key, string pattern)
    {
        if (pattern.Length > MaxPatternLength)
            throw new CheckpointFormatException("config-pattern", _file, key,
                $"a pattern of {pattern.Length} characters; at most {MaxPatternLength} are read.");
        string anchored = $@"\A(?:{pattern})";
        try
        {
            try
            {
                return new Regex(anchored, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, Limit);
            }
            catch (NotSupportedException)
            {
                return new Regex(anchored, RegexOptions.CultureInvariant, Limit);
            }
        }
        catch (ArgumentException e)
        {
            throw new CheckpointFormatException("config-pattern", _file, key, $"'re:{pattern}' is not a regular expression: {e.Message}", e);
        }
    }
}
