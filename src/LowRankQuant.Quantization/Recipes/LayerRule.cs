using System.Text.RegularExpressions;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>
/// A grid of their own for the linears that a pattern matches:
/// <code>
/// glob      * for any characters, ? for one; it matches the module path, its name within the block, or any end of it that begins behind a dot
/// re:EXPR   a regular expression; it matches where it is found in the module path, which looks like model.layers.3.mlp.down_proj
/// </code>
/// </summary>
/// <param name="Match">The pattern.</param>
/// <param name="Grid">A two-level grid, or BITS[:GROUP][:symmetric|asymmetric].</param>
public sealed record LayerRule(string Match, string Grid)
{
    private const string Expression = "re:";

    // A pattern of a stranger must not take the time of the run.
    private static readonly TimeSpan TimeLimit = TimeSpan.FromMilliseconds(250);

    /// <summary>A rule as one text, PATTERN=GRID; what has no grid is told when it is resolved.</summary>
    public static LayerRule Of(string text)
    {
        // Expressions may hold the sign too.
        int equals = text.LastIndexOf('=');
        return equals < 0 ? new LayerRule(text.Trim(), "") : new LayerRule(text[..equals].Trim(), text[(equals + 1)..].Trim());
    }

    /// <summary>The pattern, to be asked for every linear.</summary>
    /// <param name="problem">What is wrong with it, as the rest of a sentence; null for nothing.</param>
    /// <returns>Told a module path and the name within the block; null when the pattern is none.</returns>
    internal Func<string, string, bool>? Compile(out string? problem)
    {
        problem = null;
        if (!Match.StartsWith(Expression, StringComparison.Ordinal)) return (path, name) => IsEnd(path, name);
        try
        {
            var regex = new Regex(Match[Expression.Length..], RegexOptions.CultureInvariant, TimeLimit);
            return (path, _) => regex.IsMatch(path);
        }
        catch (ArgumentException failure)
        {
            problem = $"is no regular expression: {failure.Message}";
            return null;
        }
    }

    private bool IsEnd(string path, string name)
    {
        if (Glob(Match, path) || Glob(Match, name)) return true;
        for (int dot = path.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = path.IndexOf('.', dot + 1))
        {
            if (Glob(Match, path.AsSpan(dot + 1))) return true;
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
