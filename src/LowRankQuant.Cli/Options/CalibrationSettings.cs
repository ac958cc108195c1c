using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Cli.Options;

/// <summary>Options that say how calibration text is read, held against the text that there is: what could not do anything is refused.</summary>
internal static class CalibrationSettings
{
    /// <summary>Adds what is wrong to the problems.</summary>
    /// <param name="problems">The problems.</param>
    /// <param name="sources">Calibration that the user named.</param>
    /// <param name="format">What its files are said to hold; null for nothing said.</param>
    /// <param name="textField">Field of its JSON objects; null for nothing said.</param>
    /// <param name="addBos">Whether begin-of-text tokens are asked for; null for nothing said.</param>
    /// <param name="evalText">The text to measure on, which begins as documents do; null for none.</param>
    /// <param name="evalFormat">What it is said to hold; null for nothing said.</param>
    /// <param name="bundled">Whether the model's own calibration text is read.</param>
    public static void Check(
        List<string> problems, IReadOnlyList<string> sources, TextFormat? format, string? textField, AddBos? addBos, string? evalText, TextFormat? evalFormat, bool bundled)
    {
        if (sources.Count == 0)
        {
            if (format is not null) problems.Add("--calibration-format needs --calibration: it says how calibration files are read.");
            if (textField is not null && evalText is null) problems.Add("--text-field needs --calibration or --eval-text: it says how their files are read.");
        }
        else if (sources.Contains(CalibrationOptions.Self))
        {
            if (format is not null) problems.Add("--calibration-format does not apply to --calibration self: there is no file to read.");
            if (textField is not null && evalText is null) problems.Add("--text-field does not apply to --calibration self: there is no file to read.");
        }
        bool fields = sources.Any(source => source != CalibrationOptions.Self && !HasNoFields(source, format)) || (evalText is not null && !HasNoFields(evalText, evalFormat));
        if (textField is not null && !fields && (evalText is not null || sources.Any(source => source != CalibrationOptions.Self)))
            problems.Add("--text-field is for json, jsonl, csv and parquet files, and neither --calibration nor --eval-text names one; leave it out, or say what they hold by --calibration-format or --eval-text-format.");
        // Nothing is put in front of token ids, and the model's own text begins with the token.
        bool obeys = sources.Any(source => source != CalibrationOptions.Self && (addBos == AddBos.No || !HoldsIds(source, format)));
        if (addBos is not null && evalText is null && !bundled && !obeys)
            problems.Add("--add-bos needs a text, from --calibration or --eval-text: token ids and text that the model samples are taken as they are.");
    }

    private static bool HasNoFields(string source, TextFormat? format) =>
        HoldsIds(source, format) || format == TextFormat.Text || (Unsaid(format) && source.EndsWith(".txt", StringComparison.OrdinalIgnoreCase) && !BeginsAsJson(source));

    // JSON lines are known by their content too.
    private static bool BeginsAsJson(string source)
    {
        if (!File.Exists(source)) return false;
        using var reader = new StreamReader(source);
        int c;
        do c = reader.Read();
        while (c is ' ' or '\t' or '\r' or '\n');
        return c == '{';
    }

    private static bool HoldsIds(string source, TextFormat? format) => format == TextFormat.Ids || (Unsaid(format) &&
        (Name(source).EndsWith(".ids", StringComparison.OrdinalIgnoreCase) || Name(source).EndsWith(".ids.jsonl", StringComparison.OrdinalIgnoreCase)));

    private static bool Unsaid(TextFormat? format) => format is null or TextFormat.Auto;

    private static string Name(string source) => source.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? source[..^3] : source;
}
