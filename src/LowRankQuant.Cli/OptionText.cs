using System.Text.RegularExpressions;

namespace LowRankQuant.Cli;

/// <summary>Libraries name what can be set by keys of recipes in backticks; the command line calls them options: <c>`group_size` 3</c> is <c>--group-size 3</c>.</summary>
internal static partial class OptionText
{
    /// <summary>A text with options in the place of keys.</summary>
    public static string Of(string text) => Key().Replace(text, match => NameOf(match.Groups[1].Value));

    /// <summary>The option of a key.</summary>
    public static string NameOf(string key) => "--" + key.Replace('_', '-').Replace('.', '-');

    [GeneratedRegex("`([a-z][a-z0-9_.]*)`")]
    private static partial Regex Key();
}
