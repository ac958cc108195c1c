using System.CommandLine;
using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Cli.Options;

/// <summary>On what errors of block outputs are measured.</summary>
internal sealed class BlockErrorOptions
{
    private readonly Option<string[]?> _texts = new("--rmse-text")
    {
        HelpName = "FILE",
        Description = "Text that no method has seen, on which accumulated errors of block outputs are measured beside the calibration windows; may be repeated (default: that of --eval-text).",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<string?> _windows = OptionReader.Create(
        "--rmse-windows", "N", $"Windows of each of these texts, as long as the calibration windows (default: {BlockErrorRequest.UsualWindows}).");

    /// <summary>The options.</summary>
    public IReadOnlyList<Option> All => [_texts, _windows];

    /// <summary>What is asked for.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="problems">Gets what is wrong with it.</param>
    public BlockErrorRequest Read(ParseResult parsed, List<string> problems)
    {
        var reader = new OptionReader(parsed);
        var request = new BlockErrorRequest(reader.Texts(_texts), reader.Int(_windows, 1));
        problems.AddRange(reader.Problems);
        problems.AddRange(request.Texts.Where(file => !File.Exists(file)).Select(file => $"{_texts.Name} {file}: there is no such file; name a text."));
        return request;
    }
}
