using System.Text.RegularExpressions;

namespace LowRankQuant.Quantization.Options;

/// <summary>
/// A pattern for linears of a model:
/// <code>
/// glob      * for any characters, ? for one; it matches the module path, its name within the block, or any end of it that begins behind a dot
/// re:EXPR   a regular expression; it matches where it is found in the module path, which looks like model.layers.3.mlp.down_proj
/// </code>
/// </summary>
public static class LinearPattern
{
    private const string Expression = "re:";

    // A pattern of a stranger must not take the time of the run.
    private static readonly TimeSpan TimeLimit = TimeSpan.FromMilliseconds(250);

    /// <summary>The pattern, to be asked for every linear.</summary>
    /// <param name="pattern">The pattern.</param>
    /// <param name="problem">What is wrong with it, as the rest of a sentence; null for nothing.</param>
    /// <returns>Told a module path and the name within the block; null when the pattern is none.</returns>
    public static Func<string, string, bool>? Compile(string pattern, out string? problem)
    {
        problem = null;
        if (!pattern.StartsWith(Expression, StringComparison.Ordinal)) return (path, name) => IsEnd(pattern, path, name);
        try
        {
            var regex = new Regex(pattern[Expression.Length..], RegexOptions.CultureInvariant, TimeLimit);
            return (path, _) => regex.IsMatch(path);
        }
        catch (ArgumentException failure)
        {
            problem = $"is no regular expression: {failure.Message}";
            return null;
        }
    }

    /// <summary>
    /// Whether a pattern that matches a linear says the last part of its name in full, as linears ask for that stay in their own type by default: <c>in_proj_ba</c>,
    /// <c>linear_attn.in_proj_ba</c>, <c>layers.*.in_proj_ba</c>, and not <c>in_proj_*</c>, <c>linear_attn.*</c> or a regular expression.
    /// </summary>
    /// <param name="pattern">The pattern.</param>
    /// <param name="name">Name of the linear.</param>
    public static bool SaysName(string pattern, string name) =>
        !pattern.StartsWith(Expression, StringComparison.Ordinal)
        && pattern.AsSpan(pattern.LastIndexOf('.') + 1).SequenceEqual(name.AsSpan(name.LastIndexOf('.') + 1));

    private static bool IsEnd(string pattern, string path, string name)
    {
        if (Glob(pattern, path) || Glob(pattern, name)) return true;
        for (int dot = path.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = path.IndexOf('.', dot + 1))
        {
            if (Glob(pattern, path.AsSpan(dot + 1))) return true;
        }
        return false;
    }

    // One star at a time is gone back to, so that no pattern takes longer than its length times the name's.
    private static bool Glob(ReadOnlySpan<char> pattern, ReadOnlySpan<char> text)
    {
        int p = 0, t = 0, star = -1, behind = 0;
        while (t < text.Length)
        {
            if (p < pattern.Length && pattern[p] == '*') (star, behind) = (p++, t);
            else if (p < pattern.Length && (pattern[p] == '?' || pattern[p] == text[t])) (p, t) = (p + 1, t + 1);
            else if (star >= 0) (p, t) = (star + 1, ++behind);
            else return false;
        }
        while (p < pattern.Length && pattern[p] == '*') p++;
        return p == pattern.Length;
    }
}
