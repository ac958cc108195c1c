using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>What the card of a source says that is true of its quantized model, too. Plain words alone are taken over.</summary>
/// <param name="License">Its licence by the hub's name.</param>
/// <param name="LicenseName">Name of another licence.</param>
/// <param name="LicenseLink">Where that is.</param>
/// <param name="Languages">Languages.</param>
public sealed partial record ModelCardSource(string? License, string? LicenseName, string? LicenseLink, IReadOnlyList<string> Languages)
{
    private const long LargestCard = 4L << 20;
    private const int MostLanguages = 256;

    /// <summary>Of a source without a card.</summary>
    public static ModelCardSource None { get; } = new(null, null, null, []);

    /// <summary>Reads the card in the folder of a source; nothing of a file or of a folder without a card.</summary>
    /// <param name="location">The source.</param>
    public static ModelCardSource Of(string location)
    {
        var card = new FileInfo(Path.Combine(location, ModelCard.FileName));
        return Directory.Exists(location) && card.Exists && card.Length <= LargestCard ? Parse(File.ReadAllText(card.FullName)) : None;
    }

    /// <summary>Reads the metadata of a card.</summary>
    /// <param name="card">Its text.</param>
    public static ModelCardSource Parse(string card)
    {
        string[] lines = card.ReplaceLineEndings("\n").Split('\n');
        if (lines is not ["---", ..]) return None;
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        var languages = new List<string>();
        string? key = null;
        foreach (string line in lines.Skip(1).TakeWhile(line => line != "---"))
        {
            if (Entry().Match(line) is { Success: true } entry)
            {
                key = entry.Groups[1].Value;
                string value = entry.Groups[2].Value.Trim();
                if (key == "language") languages.AddRange(value.Trim('[', ']').Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
                else values.TryAdd(key, value);
            }
            else if (key == "language" && Item().Match(line) is { Success: true } item)
            {
                languages.Add(item.Groups[1].Value.Trim());
            }
        }
        return new ModelCardSource(
            Word(values.GetValueOrDefault("license")), Word(values.GetValueOrDefault("license_name")), Word(values.GetValueOrDefault("license_link")),
            [.. languages.Select(Word).OfType<string>().Distinct().Take(MostLanguages)]);
    }

    private static string? Word(string? value)
    {
        string word = (value ?? "").Trim('"', '\'');
        return Plain().IsMatch(word) ? word : null;
    }

    [GeneratedRegex(@"^([a-z_]+):(.*)$")]
    private static partial Regex Entry();

    [GeneratedRegex(@"^\s*-\s+(.*)$")]
    private static partial Regex Item();

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._/:+-]{0,199}$")]
    private static partial Regex Plain();
}

[JsonSerializable(typeof(string))]
internal sealed partial class CardJson : JsonSerializerContext;
