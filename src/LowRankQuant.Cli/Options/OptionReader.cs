using System.CommandLine;
using System.Globalization;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Cli.Options;

/// <summary>Reads option values as text and collects whatever is not of the right form, so that all problems are told at once.</summary>
internal sealed class OptionReader(ParseResult parsed)
{
    private Dictionary<string, string> _otherwise = [];

    public List<string> Problems { get; } = [];

    public static Option<string?> Create(string name, string valueName, string description) =>
        new(name) { HelpName = valueName, Description = description, Arity = ArgumentArity.ExactlyOne };

    /// <summary>Values of options that are not given, by the key of each.</summary>
    public void Otherwise(IReadOnlyDictionary<string, string> values) => _otherwise = values.ToDictionary(value => OptionText.NameOf(value.Key), value => value.Value, StringComparer.Ordinal);

    public bool Flag(Option<bool> option)
    {
        if (parsed.GetValue(option) || !_otherwise.TryGetValue(option.Name, out string? text)) return parsed.GetValue(option);
        if (text is not ("true" or "false")) Problems.Add($"{option.Name} {text}: must be true or false.");
        return text == "true";
    }

    public bool? Flag(Option<bool?> option) => parsed.GetValue(option);

    public string? Text(Option<string?> option) => parsed.GetValue(option) ?? _otherwise.GetValueOrDefault(option.Name);

    public IReadOnlyList<string> Texts(Option<string[]?> option) => parsed.GetValue(option) ?? [];

    public int? Int(Option<string?> option, int least = int.MinValue, int most = int.MaxValue)
    {
        if (Text(option) is not { } text) return null;
        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)) return Bad<int>(option, text, "must be a whole number");
        if (value < least || value > most)
            return Bad<int>(option, text, most == int.MaxValue ? $"must be at least {least}" : $"must be {least} to {most}");
        return value;
    }

    public ulong? UnsignedLong(Option<string?> option)
    {
        if (Text(option) is not { } text) return null;
        return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value)
            ? value : Bad<ulong>(option, text, "must be a whole number, 0 or more");
    }

    public double? Double(Option<string?> option)
    {
        if (Text(option) is not { } text) return null;
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value)
            ? value : Bad<double>(option, text, "must be a finite number such as 0.002");
    }

    public bool? YesNo(Option<string?> option) => Text(option) switch
    {
        null => null,
        "true" or "yes" or "on" => true,
        "false" or "no" or "off" => false,
        { } text => Bad<bool>(option, text, "must be true or false"),
    };

    public long? Size(Option<string?> option)
    {
        if (Text(option) is not { } text) return null;
        return MemorySize.Parse(text) ?? Bad<long>(option, text, $"must be {MemorySize.Form}");
    }

    public T? Choice<T>(Option<string?> option, IReadOnlyList<KeyValuePair<string, T>> names)
        where T : struct, Enum
    {
        if (Text(option) is not { } text) return null;
        return Choices.Parse(names, text) ?? Bad<T>(option, text, $"must be one of {Choices.List(names)}");
    }

    /// <summary>Adds a problem for each of the options that is given.</summary>
    public void Refuse(string why, params ReadOnlySpan<Option<string?>> options)
    {
        foreach (Option<string?> option in options)
        {
            if (Text(option) is not null) Problems.Add($"{option.Name} {why}.");
        }
    }

    private T? Bad<T>(Option<string?> option, string text, string rule)
        where T : struct
    {
        Problems.Add($"{option.Name} {text}: {rule}.");
        return null;
    }
}
