using System.Globalization;
using System.Text.RegularExpressions;
using LowRankQuant.Hub;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Cli.Options;

/// <summary>A text as a user names it, perhaps with a weight.</summary>
/// <param name="Name">A file, folder, pattern, name of the hub or of a data set, or self.</param>
/// <param name="Weight">Its weight; null for none.</param>
internal sealed record TextArgument(string Name, double? Weight)
{
    /// <summary>As it was given.</summary>
    public override string ToString() => Weight is null ? Name : FormattableString.Invariant($"{Name}={Weight}");
}

/// <summary>Reads <c>--calibration</c>: TEXT, TEXT=WEIGHT, or several of the latter with commas between. What is there as a file is one, whatever it is called.</summary>
internal static partial class TextArguments
{
    /// <summary>The texts.</summary>
    public static IReadOnlyList<TextArgument> Read(IEnumerable<string> given) => [.. given.SelectMany(Parts)];

    /// <summary>Whether a name is one of a data set, and nothing here is called so.</summary>
    public static NamedDataset? Dataset(string name) => Path.Exists(name) ? null : DatasetCatalog.Find(name);

    /// <summary>Whether something would have to be fetched for it, or found in the hub's cache.</summary>
    public static bool IsFetched(string name) => name.StartsWith(HubName.Scheme, StringComparison.OrdinalIgnoreCase) || Dataset(name) is not null;

    /// <summary>Adds what is wrong about weights and names to the problems.</summary>
    public static void Check(IReadOnlyList<TextArgument> texts, List<string> problems)
    {
        if (texts.Count > 1 && texts.Any(text => text.Name == CalibrationOptions.Self))
            problems.Add($"--calibration {CalibrationOptions.Self} stands alone; write ./{CalibrationOptions.Self} for a file of that name.");
        else if (texts is [{ Name: CalibrationOptions.Self, Weight: not null }]) problems.Add($"--calibration {texts[0]}: {CalibrationOptions.Self} stands alone and takes no weight.");
        if (texts.Any(text => (text.Weight is null) != (texts[0].Weight is null)))
            problems.Add($"--calibration: {string.Join(", ", texts.Where(text => text.Weight is null))} has no weight and {string.Join(", ", texts.Where(text => text.Weight is not null))} has; give one to each, or to none.");
        foreach (TextArgument text in texts.Where(text => text.Weight is { } weight && !(weight > 0 && double.IsFinite(weight))))
            problems.Add($"--calibration {text}: a weight is a number above 0.");
    }

    /// <summary>Adds what is wrong about the name of a data set to measure on.</summary>
    public static void CheckMeasured(string? name, bool joinRows, string option, List<string> problems)
    {
        if (name is null || Dataset(name) is not { } set) return;
        if (set.Evaluation is null) problems.Add($"{option} {name}: nobody measures on this data set, and it has no part for it; those that have one are {string.Join(", ", DatasetCatalog.All.Where(other => other.Evaluation is not null).Select(other => other.Name))}.");
        else if (joinRows) problems.Add($"--join-rows does not apply to the data set {name}, whose own join is known ({set.Evaluation.Describe()}); leave it out.");
    }

    private static IEnumerable<TextArgument> Parts(string given)
    {
        if (Path.Exists(given)) return [new TextArgument(given, null)];
        return Several().IsMatch(given) ? Weighted().Split(given).Select(One) : [One(given)];
    }

    private static TextArgument One(string given)
    {
        int at = given.LastIndexOf('=');
        if (at <= 0 || Path.Exists(given) || !double.TryParse(given.AsSpan(at + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out double weight)) return new TextArgument(given, null);
        return new TextArgument(given[..at], weight);
    }

    // Commas belong to names unless every part has a weight.
    [GeneratedRegex(@"^[^=]+=[0-9.eE+-]+(,[^=]+=[0-9.eE+-]+)+\z", RegexOptions.CultureInvariant)]
    private static partial Regex Several();

    [GeneratedRegex(@"(?<==[0-9.eE+-]+),", RegexOptions.CultureInvariant)]
    private static partial Regex Weighted();
}
