using System.CommandLine;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Cli.Options;

/// <summary>The options that methods declare, as options of a command: one for every key. Help shows them by method (<c>lrq methods NAME</c>).</summary>
internal sealed class MethodOptionSet
{
    private readonly Dictionary<string, Option<string?>> _byKey = new(StringComparer.Ordinal);

    /// <summary>Makes the options.</summary>
    public MethodOptionSet(MethodCatalog catalog)
    {
        foreach (IGrouping<string, RecipeOption> same in catalog.Methods.SelectMany(method => method.Options).GroupBy(option => option.Key))
        {
            RecipeOption first = same.First();
            Option<string?> option = OptionReader.Create(OptionText.NameOf(same.Key), first.Form, $"{OptionText.Of(first.Help)}: an option of {string.Join(", ", catalog.Taking(same.Key).Select(method => method.Name))}.");
            option.Hidden = true;
            _byKey.Add(same.Key, option);
        }
    }

    /// <summary>All of them.</summary>
    public IEnumerable<Option> All => _byKey.Values;

    /// <summary>What was given, texts by key.</summary>
    public IReadOnlyDictionary<string, string> Read(OptionReader reader) =>
        _byKey.Select(pair => (pair.Key, Text: reader.Text(pair.Value))).Where(pair => pair.Text is not null).ToDictionary(pair => pair.Key, pair => pair.Text!, StringComparer.Ordinal);
}
