using System.CommandLine;
using LowRankQuant.Cli.Options;
using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq sweep MODEL --vary KEY=V1,V2,...</c>: one or two axes of any option of <c>lrq quantize</c>, everything else as it is.</summary>
internal sealed class SweepCommand
{
    private const int MostAxes = 2;
    private readonly Terminal _terminal;
    private readonly Engine _engine;
    private readonly QuantizeOptions _options;
    private readonly CellSetup _setup;
    private readonly BlockErrorOptions _errors = new();
    private readonly Option<bool> _keepModels = CompareMethodsCommand.KeepModels();

    private readonly Option<string[]?> _vary = new("--vary")
    {
        HelpName = "KEY=LIST",
        Description = "An option and the values that it takes in turn, with commas between: rank=1,4,16. Given twice, all pairs.",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    public SweepCommand(Terminal terminal, Engine engine, HubFiles hub)
    {
        (_terminal, _engine, _options) = (terminal, engine, new QuantizeOptions(engine.Methods));
        _setup = new CellSetup(engine, hub, _options, [_vary, .. _errors.All, _keepModels]);
    }

    public Command Build()
    {
        Command command = _options.AddTo(new Command("sweep", "Quantize a model with one or two options at several values and put the figures side by side. Takes the options of quantize; stopped, it goes on."));
        command.Options.Insert(0, _vary);
        foreach (Option other in new Option[] { _options.InDepth, _options.SwapWindows, _options.To }) command.Options.Remove(other);
        foreach (Option option in _errors.All) command.Options.Add(option);
        command.Options.Add(_keepModels);
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        List<string> problems = [];
        (string Name, string[] Values)[] axes = [.. (parsed.GetValue(_vary) ?? []).Select(text => Axis(text, problems))];
        if (axes.Length is 0 or > MostAxes) problems.Add($"{_vary.Name}: give one or two options to vary, each as KEY=V1,V2, such as rank=1,4,16.");
        if (axes.Select(axis => axis.Name).Distinct(StringComparer.Ordinal).Count() != axes.Length) problems.Add($"{_vary.Name}: an option can be varied once.");
        if (string.IsNullOrWhiteSpace(parsed.GetValue(_options.Out))) problems.Add("--out is missing: name the output folder.");
        BlockErrorRequest errors = _errors.Read(parsed, problems);
        if (problems.Count > 0) throw new RequestException(problems);
        string? method = parsed.GetValue(_options.Method), scheme = parsed.GetValue(_options.Scheme);
        string all = scheme ?? method ?? _engine.Methods.Default.Name;
        var cells = new List<ComparisonCell>();
        foreach (string column in axes.Length == MostAxes ? axes[1].Values : [""])
        {
            foreach (string row in axes[0].Values)
            {
                string[] more = axes.Length == MostAxes ? [axes[0].Name, row, axes[1].Name, column] : [axes[0].Name, row];
                var cell = new ComparisonCell(Label(axes[0], row), axes.Length == MostAxes ? Label(axes[1], column) : all, null, null);
                cells.Add(_setup.Cell(parsed, cell, Value(axes, "--method", row, column) ?? method, Value(axes, "--scheme", row, column) ?? scheme, more, cancellation));
            }
        }
        problems.AddRange(_setup.Unused(parsed));
        if (problems.Count > 0) throw new RequestException(problems);
        IReadOnlyList<CellResult> results = CompareMethodsCommand.Run(_terminal, _engine, parsed, _options, cells, _setup.Found(errors, cancellation), parsed.GetValue(_keepModels), cancellation);
        CompareMethodsCommand.Print(_terminal, parsed, _options, results, []);
        return ExitCodes.Success;
    }

    // Files are called by their names, without the folders of whoever runs it, where these tell them apart.
    private static string Label((string Name, string[] Values) axis, string value)
    {
        bool apart = axis.Values.Select(Path.GetFileName).Distinct(StringComparer.Ordinal).Count() == axis.Values.Length;
        return $"{axis.Name.TrimStart('-')}={(apart && File.Exists(value) ? Path.GetFileName(value) : value)}";
    }

    // What an axis says of an option; null where none is about it.
    private static string? Value((string Name, string[] Values)[] axes, string name, string row, string column)
    {
        int axis = Array.FindIndex(axes, axis => axis.Name == name);
        return axis switch { 0 => row, 1 => column, _ => null };
    }

    private (string Name, string[] Values) Axis(string text, List<string> problems)
    {
        string[] parts = text.Split('=', 2);
        string name = OptionText.NameOf(parts[0].TrimStart('-'));
        string[] values = parts.Length == 2 ? CompareMethodsCommand.List(parts[1]) : [];
        if (values.Length == 0) problems.Add($"{_vary.Name} {text}: give KEY=V1,V2, such as rank=1,4,16.");
        else if (_options.AddTo(new Command("quantize")).Options.All(option => option.Name != name)) problems.Add($"{_vary.Name} {text}: quantize has no option {name}; 'lrq help quantize all' lists them.");
        return (name, values);
    }
}
