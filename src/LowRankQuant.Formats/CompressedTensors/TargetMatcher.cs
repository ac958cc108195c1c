using LowRankQuant.Formats.Modules;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>Decides whether a list of targets names a module: by its full name, by a <c>re:</c> pattern matched from the start of the name, or by its class.</summary>
internal sealed class TargetMatcher
{
    private const string Pattern = "re:";
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly List<NamePattern> _patterns = [];

    public TargetMatcher(string file, string key, IReadOnlyList<string> targets)
    {
        foreach (string target in targets)
        {
            if (!target.StartsWith(Pattern, StringComparison.Ordinal)) _names.Add(target);
            else _patterns.Add(new NamePattern(file, key, target[Pattern.Length..], fromStart: true, target));
        }
    }

    public bool MatchesName(string module) => _names.Contains(module);

    public bool MatchesClass(string moduleClass) => _names.Contains(moduleClass);

    public bool MatchesPattern(string module) => _patterns.Exists(pattern => pattern.Matches(module));
}
