namespace LowRankQuant.Quantization.Options;

/// <summary>Where values that nobody gives come from.</summary>
public static class PresetNames
{
    /// <summary>The default: nearly all of the gain in a small part of the time.</summary>
    public const string Fast = "fast";

    /// <summary>The settings of the papers and of their released code.</summary>
    public const string Paper = "paper";

    /// <summary>All presets with what they are, the default first.</summary>
    public static IReadOnlyList<KeyValuePair<string, string>> All { get; } =
    [
        new(Fast, "nearly all of the gain in a small part of the time (the default)"),
        new(Paper, "the settings of the papers and of their released code; hours"),
    ];
}
