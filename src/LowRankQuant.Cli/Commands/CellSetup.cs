using System.CommandLine;
using System.CommandLine.Parsing;
using LowRankQuant.Cli.Options;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Cli.Commands;

/// <summary>From a command line that stands for several runs to the command lines of <c>lrq quantize</c> for each of them.</summary>
/// <param name="engine">Has the methods.</param>
/// <param name="hub">Has the models that names of the hub are.</param>
/// <param name="options">The options of quantize, which the command shares.</param>
/// <param name="own">Options of the command itself.</param>
internal sealed class CellSetup(Engine engine, HubFiles hub, QuantizeOptions options, IReadOnlyList<Option> own)
{
    private readonly HashSet<string> _used = new(StringComparer.Ordinal);

    /// <summary>Makes a cell. What does not go together is no reason to stop: it is named in the table.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="cell">Names of the cell.</param>
    /// <param name="method">Its method; null for the usual one.</param>
    /// <param name="scheme">Its scheme; null for what options say.</param>
    /// <param name="more">What stands behind the options that all cells share.</param>
    /// <param name="cancellation">Ends the fetch of a model.</param>
    public ComparisonCell Cell(ParseResult parsed, ComparisonCell cell, string? method, string? scheme, IReadOnlyList<string> more, CancellationToken cancellation)
    {
        string output = Path.Combine(parsed.GetValue(options.Out)!, "models", cell.Name);
        var root = new RootCommand { options.AddTo(new Command("quantize")) };
        ParseResult alone = root.Parse(
            ["quantize", .. Arguments(parsed, method, scheme, more), .. more, "--out", output], new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        if (alone.Errors.Count > 0) throw new RequestException([.. ParseProblems.Of(alone)]);
        using var tried = QuantizeSetup.Open(engine.Methods, hub, options, alone, planning: false, cancellation);
        QuantizeJob job = tried.Prepare().Job;
        if (tried.Problems.Count > 0) return cell with { Refusal = string.Join(" ", tried.Problems.Select(OptionText.Of)) };
        if (job.Depth is not null) throw new RequestException(["in_depth of the recipe: comparisons show means alone; leave it out, and run 'lrq quantize' for a report in depth."]);
        return cell with
        {
            Calibration = job.Recipe.LooksAtText ? job.Calibration : null,
            Open = () =>
            {
                var setup = QuantizeSetup.Open(engine.Methods, hub, options, alone, planning: false, cancellation);
                return new OpenedCell(setup.Prepare().Job with { MeasuresRounded = false }, setup);
            },
        };
    }

    /// <summary>Texts of errors of block outputs as they lie on disk; those of the hub are fetched.</summary>
    /// <param name="request">Texts as they are named.</param>
    /// <param name="cancellation">Ends a fetch.</param>
    public BlockErrorRequest Found(BlockErrorRequest request, CancellationToken cancellation) =>
        request with { Texts = [.. request.Texts.Select(text => hub.Input(new TextArgument(text.Path, null), measured: true, cancellation))] };

    /// <summary>Options that were given and that no cell made so far takes from the command line, one that all cells set themselves included; each as a problem.</summary>
    /// <param name="parsed">The command line.</param>
    public IEnumerable<string> Unused(ParseResult parsed) => Given(parsed)
        .Where(option => !_used.Contains(option.Option.Name))
        .Select(option => $"{string.Join(' ', option.Tokens.Select(token => token.Value).Prepend(option.Option.Name))}: none of the runs takes it; leave it out, or name a method that does.");

    private IEnumerable<OptionResult> Given(ParseResult parsed) => parsed.CommandResult.Children.OfType<OptionResult>().Where(option => !option.Implicit && !IsOwn(option.Option));

    private bool IsOwn(Option option) => own.Contains(option) || option == options.Out || option == options.Json;

    // Options of methods go to those that take them, and options about calibration text to those that look at it.
    private IEnumerable<string> Arguments(ParseResult parsed, string? method, string? scheme, IReadOnlyList<string> instead)
    {
        QuantizationMethod known = method is not null && engine.Methods.TryFind(method, out QuantizationMethod? found) ? found : engine.Methods.Default;
        HashSet<string> foreign = [.. engine.Methods.Methods.SelectMany(other => other.Options).Select(option => option.Key).Except(known.Options.Select(option => option.Key)).Select(OptionText.NameOf)];
        HashSet<Option> left = [];
        if (!RecipeResolver.NeedsText(engine.Methods, new RecipeRequest { Method = method, Scheme = scheme }))
            left.UnionWith([options.Calibration, options.CalibrationFormat, options.Samples, options.HeldOut, options.SequenceLength, options.Preset]);
        yield return parsed.GetValue(options.Model)!;
        foreach (OptionResult option in Given(parsed))
        {
            string name = option.Option.Name;
            if (left.Contains(option.Option) || foreign.Contains(name) || instead.Contains(name)) continue;
            _used.Add(name);
            if (option.Tokens.Count == 0) yield return name;
            foreach (Token token in option.Tokens)
            {
                yield return name;
                yield return token.Value;
            }
        }
    }
}
