using System.CommandLine;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Formats;
using LowRankQuant.Runs.Comparisons;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq compare-methods MODEL</c>: every method under every scheme, each a run of <c>lrq quantize</c> with the options that are given beside.</summary>
internal sealed class CompareMethodsCommand
{
    private readonly Terminal _terminal;
    private readonly Engine _engine;
    private readonly QuantizeOptions _options;
    private readonly CellSetup _setup;
    private readonly Option<string?> _methods = OptionReader.Create("--methods", "LIST", "Methods, with commas between: rtn,lrq,flexround.");
    private readonly Option<string?> _schemes = OptionReader.Create("--schemes", "LIST", "Schemes, with commas between: w4a16,w3a16-g64,w2a16-g64.");
    private readonly BlockErrorOptions _errors = new();
    private readonly Option<bool> _keepModels = KeepModels();

    public CompareMethodsCommand(Terminal terminal, Engine engine, HubFiles hub)
    {
        (_terminal, _engine, _options) = (terminal, engine, new QuantizeOptions(engine.Methods));
        _setup = new CellSetup(engine, hub, _options, [_methods, _schemes, .. _errors.All, _keepModels]);
    }

    /// <summary>The option that keeps quantized models.</summary>
    public static Option<bool> KeepModels() => new("--keep-models") { Description = "Keep the quantized models; else each is deleted once it has been measured." };

    /// <summary>What stands between commas, each once.</summary>
    public static string[] List(string? text) => text?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Distinct(StringComparer.Ordinal).ToArray() ?? [];

    public Command Build()
    {
        Command command = _options.AddTo(new Command("compare-methods", "Quantize a model by several methods under several schemes and put their figures side by side. Takes the options of quantize; stopped, it goes on."));
        command.Options.Remove(_options.Method);
        command.Options.Remove(_options.Scheme);
        command.Options.Insert(0, _schemes);
        command.Options.Insert(0, _methods);
        foreach (Option other in new Option[] { _options.InDepth, _options.SwapWindows, _options.To }) command.Options.Remove(other);
        foreach (Option option in _errors.All) command.Options.Add(option);
        command.Options.Add(_keepModels);
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        string[] methods = List(parsed.GetValue(_methods)), schemes = List(parsed.GetValue(_schemes));
        List<string> problems = [];
        if (methods.Length == 0) problems.Add($"{_methods.Name} is missing: name the methods to compare.");
        if (schemes.Length == 0) problems.Add($"{_schemes.Name} is missing: name the schemes to compare them under.");
        if (string.IsNullOrWhiteSpace(parsed.GetValue(_options.Out))) problems.Add("--out is missing: name the output folder.");
        problems.AddRange(methods.Where(method => !_engine.Methods.TryFind(method, out _)).Select(method => $"{_methods.Name} {method}: unknown; the methods are {_engine.Methods.Names}."));
        BlockErrorRequest errors = _errors.Read(parsed, problems);
        if (problems.Count > 0) throw new RequestException(problems);
        // What is wrong anywhere is known before anything is run.
        ComparisonCell[] cells =
        [
            .. schemes.SelectMany(scheme => methods.Select(method => _setup.Cell(
                parsed, new ComparisonCell(method, scheme, null, null), method, scheme, ["--method", method, "--scheme", scheme], cancellation))),
        ];
        problems.AddRange(_setup.Unused(parsed));
        problems.AddRange(cells.GroupBy(cell => cell.Scheme).Where(scheme => scheme.All(cell => cell.Open is null)).SelectMany(scheme => scheme.Select(Refused)));
        if (problems.Count > 0) throw new RequestException(problems);
        IReadOnlyList<CellResult> results = Run(_terminal, _engine, parsed, _options, cells, _setup.Found(errors, cancellation), parsed.GetValue(_keepModels), cancellation);
        (string File, string Title, Func<CellResult, double?> Value)[] pictures =
        [
            ("kl.svg", "KL divergence from the original", cell => cell.Result?.KlDivergence), ("perplexity.svg", "perplexity", cell => cell.Result?.Perplexity),
        ];
        string output = parsed.GetValue(_options.Out)!;
        foreach ((string file, string title, Func<CellResult, double?> value) in pictures) AtomicFile.WriteAllText(Path.Combine(output, file), BitsChart.Draw(title, results, value));
        Print(_terminal, parsed, _options, results, [.. pictures.Select(picture => picture.File)]);
        return ExitCodes.Success;
    }

    /// <summary>Runs cells; at least one must be possible.</summary>
    /// <exception cref="RequestException">None is.</exception>
    public static IReadOnlyList<CellResult> Run(
        Terminal terminal, Engine engine, ParseResult parsed, QuantizeOptions options, IReadOnlyList<ComparisonCell> cells, BlockErrorRequest errors, bool keepModels, CancellationToken cancellation)
    {
        if (cells.All(cell => cell.Open is null)) throw new RequestException([.. cells.Select(Refused)]);
        using RunNarrator narrator = RunDisplay.Create(terminal, parsed.GetValue(options.Json));
        return new ComparisonRun(engine.Quantize).Run(cells, parsed.GetValue(options.Out)!, errors, keepModels, narrator, cancellation);
    }

    private static string Refused(ComparisonCell cell) => $"{cell.Scheme}, {cell.Method}: {cell.Refusal}";

    /// <summary>Writes the pages and the pictures of block errors and of layers beside the cells, and prints the page or the figures as JSON.</summary>
    public static void Print(Terminal terminal, ParseResult parsed, QuantizeOptions options, IReadOnlyList<CellResult> results, IReadOnlyList<string> pictures)
    {
        string output = parsed.GetValue(options.Out)!;
        List<string> shown = [.. pictures];
        foreach (var scheme in results.Where(cell => cell.OutputErrors is { Count: > 0 }).GroupBy(cell => cell.Scheme))
        {
            shown.Add(BlockErrorChart.FileName(scheme.Key));
            AtomicFile.WriteAllText(Path.Combine(output, shown[^1]), BlockErrorChart.Draw(scheme.Key, [.. scheme]));
        }
        List<(string, string)> layers = [];
        foreach (CellResult cell in results.Where(cell => cell.Layers is { Count: > 0 }))
        {
            layers.Add(($"{cell.Scheme}, {cell.Method}", ComparisonCell.LayersFileOf(cell)));
            AtomicFile.WriteAllText(Path.Combine(output, ComparisonCell.LayersFileOf(cell)), RankChart.Draw(cell.Layers!));
        }
        string model = Path.GetFileName(Path.TrimEndingDirectorySeparator(parsed.GetValue(options.Model)!)), page = ComparisonTable.Of(model, results, shown, layers);
        AtomicFile.WriteAllText(Path.Combine(output, ComparisonTable.FileName), page);
        AtomicFile.WriteAllText(Path.Combine(output, ComparisonHtml.FileName), ComparisonHtml.Of(model, results, OptionText.Of));
        if (parsed.GetValue(options.Json)) terminal.Out.WriteLine(ComparisonTable.Json(results));
        else terminal.Out.Write(page);
    }
}
