using System.CommandLine;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Cli.Options;

/// <summary>On what errors of block outputs are measured.</summary>
internal sealed class BlockErrorOptions
{
    private readonly Option<string[]?> _texts = new("--rmse-text")
    {
        HelpName = "TEXT",
        Description = "Text that no method has seen, as --eval-text takes one (a file, a folder, a pattern, on the hub, wikitext2 or c4), on which accumulated errors of block outputs are measured beside the calibration windows; may be repeated (default: that of --eval-text).",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<string?> _windows = OptionReader.Create(
        "--rmse-windows", "N", $"Windows of each of these texts, as long as the calibration windows (default: {BlockErrorRequest.UsualWindows}).");

    /// <summary>The options.</summary>
    public IReadOnlyList<Option> All => [_texts, _windows];

    /// <summary>What is asked for, texts as they are named.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="problems">Gets what is wrong with it.</param>
    public BlockErrorRequest Read(ParseResult parsed, List<string> problems)
    {
        var reader = new OptionReader(parsed);
        string[] names = [.. reader.Texts(_texts)];
        var request = new BlockErrorRequest([.. names.Select(TextInput.FromString)], reader.Int(_windows, 1));
        problems.AddRange(reader.Problems);
        foreach (string name in names) TextArguments.CheckMeasured(name, joinRows: false, _texts.Name, problems);
        problems.AddRange(names.Where(name => !Path.Exists(name) && !TextArguments.IsFetched(name) && name.AsSpan().IndexOfAny('*', '?') < 0).Select(name => $"{_texts.Name} {name}: there is no such file; name a text."));
        return request;
    }
}
