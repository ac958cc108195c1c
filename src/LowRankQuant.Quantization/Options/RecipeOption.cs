using System.Globalization;

namespace LowRankQuant.Quantization.Options;

/// <summary>
/// A value that a method takes: its key in recipes, what it may be, and what it is where nobody says. Help, recipes and command lines are made of these
/// declarations. Texts that a library gives put keys of the recipe in backticks, and whoever shows them may spell them its own way.
/// </summary>
public abstract class RecipeOption
{
    private protected RecipeOption(string key, string form, string help, string fast, string? paper)
    {
        Key = key;
        Form = form;
        Help = help;
        Fast = fast;
        Paper = paper ?? fast;
    }

    /// <summary>The key, in small letters with underscores, such as <c>learning_rate</c>.</summary>
    public string Key { get; }

    /// <summary>What a value looks like, such as <c>N</c>, <c>true|false</c> or <c>0 to 1</c>.</summary>
    public string Form { get; }

    /// <summary>What it does, in a sentence without its default.</summary>
    public string Help { get; }

    /// <summary>What it is under the preset <c>fast</c>, in words.</summary>
    public string Fast { get; }

    /// <summary>What it is under the preset <c>paper</c>, in words.</summary>
    public string Paper { get; }

    /// <summary>What is wrong with a text as a value; null where it is one.</summary>
    public abstract string? Problem(string text);
}

/// <summary>A value of a type.</summary>
/// <typeparam name="T">What the text means.</typeparam>
public sealed class RecipeOption<T> : RecipeOption
    where T : struct
{
    private readonly Func<string, (T? Value, string? Problem)> _parse;
    private readonly Func<T, string> _write;

    internal RecipeOption(string key, string form, string help, string fast, string? paper, Func<string, (T? Value, string? Problem)> parse, Func<T, string> write)
        : base(key, form, help, fast, paper)
    {
        _parse = parse;
        _write = write;
    }

    /// <inheritdoc/>
    public override string? Problem(string text) => _parse(text).Problem;

    /// <summary>The value of a text; null where it is none.</summary>
    public T? Parse(string text) => _parse(text).Value;

    /// <summary>The text of a value, which <see cref="Parse"/> reads back.</summary>
    public string Write(T value) => _write(value);

    /// <summary>The pair that a recipe holds.</summary>
    public KeyValuePair<string, string> With(T value) => new(Key, Write(value));
}

/// <summary>Makes declarations.</summary>
public static class Declare
{
    /// <summary>A whole number.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="help">What it does.</param>
    /// <param name="what">What is counted, for messages.</param>
    /// <param name="least">The smallest.</param>
    /// <param name="most">The largest; <see cref="int.MaxValue"/> for no limit.</param>
    /// <param name="fast">Default of the preset fast, in words.</param>
    /// <param name="paper">Default of the preset paper; null for the same.</param>
    /// <param name="words">Words that stand for numbers.</param>
    public static RecipeOption<int> Whole(
        string key, string help, string what, int least, int most, string fast, string? paper = null, params (string Word, int Value)[] words) => new(
        key, string.Join('|', words.Select(word => word.Word).Prepend("N")), help, fast, paper,
        text =>
        {
            foreach ((string word, int meaning) in words)
            {
                if (word.Equals(text, StringComparison.OrdinalIgnoreCase)) return (meaning, null);
            }
            if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value))
                return (null, words.Length == 0 ? "must be a whole number" : $"must be a whole number, or {string.Join(" or ", words.Select(word => word.Word))}");
            return value >= least && value <= most ? (value, null)
                : (null, most == int.MaxValue ? $"must be at least {least} ({what})" : $"must be {least} to {most} ({what})");
        },
        value => words.FirstOrDefault(word => word.Value == value).Word ?? value.ToString(CultureInfo.InvariantCulture));

    /// <summary>A number.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="help">What it does.</param>
    /// <param name="what">What it is, for messages.</param>
    /// <param name="least">The smallest.</param>
    /// <param name="most">The largest.</param>
    /// <param name="fast">Default of the preset fast, in words.</param>
    /// <param name="paper">Default of the preset paper; null for the same.</param>
    /// <param name="words">Words that stand for numbers, which may be no numbers.</param>
    public static RecipeOption<double> Number(
        string key, string help, string what, double least, double most, string fast, string? paper = null, params (string Word, double Value)[] words) => new(
        key, string.Join('|', words.Select(word => word.Word).Prepend("X")), help, fast, paper,
        text =>
        {
            foreach ((string word, double meaning) in words)
            {
                if (word.Equals(text, StringComparison.OrdinalIgnoreCase)) return (meaning, null);
            }
            if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) || !double.IsFinite(value))
                return (null, words.Length == 0 ? "must be a finite number such as 0.002" : $"must be a finite number, or {string.Join(" or ", words.Select(word => word.Word))}");
            if (value >= least && value <= most) return (value, null);
            return (null, double.IsPositiveInfinity(most)
                ? string.Create(CultureInfo.InvariantCulture, $"must be {(least == double.Epsilon ? "positive" : $"at least {least}")} ({what})")
                : string.Create(CultureInfo.InvariantCulture, $"must be {least} to {most} ({what})"));
        },
        value => words.FirstOrDefault(word => word.Value.Equals(value)).Word ?? value.ToString("R", CultureInfo.InvariantCulture));

    /// <summary>Yes or no.</summary>
    public static RecipeOption<bool> Flag(string key, string help, string fast, string? paper = null) => new(
        key, "true|false", help, fast, paper,
        text => text.ToLowerInvariant() switch
        {
            "true" or "yes" or "on" => (true, null),
            "false" or "no" or "off" => (false, null),
            _ => (null, "must be true or false"),
        },
        value => value ? "true" : "false");

    /// <summary>One of several.</summary>
    public static RecipeOption<T> Choice<T>(string key, string help, IReadOnlyList<KeyValuePair<string, T>> names, string fast, string? paper = null)
        where T : struct, Enum => new(
        key, string.Join('|', names.Select(name => name.Key)), help, fast, paper,
        text => Choices.Parse(names, text) is { } value ? (value, null) : (null, $"must be one of {Choices.List(names)}"),
        value => Choices.Of(names, value));
}
