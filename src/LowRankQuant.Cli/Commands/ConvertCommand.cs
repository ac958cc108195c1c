using System.CommandLine;
using LowRankQuant.Cli.Options;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq convert SOURCE [--to FORMAT] --out PATH</c>.</summary>
internal sealed class ConvertCommand(Terminal terminal, HubFiles hub)
{
    private readonly Argument<string> _source = new("SOURCE") { Description = ModelPath.Help };
    private readonly ExportOptionSet _options = new(defaultTarget: "dense");

    public Command Build()
    {
        var command = new Command("convert", "Write any model as plain floats, or in another container (--to) with the codes and scales that it has.") { _source };
        foreach (Option option in _options.All) command.Options.Add(option);
        var run = new ExportRun(terminal, hub, _options);
        command.SetAction((parsed, cancellation) => Task.Run(() => run.Run(parsed, parsed.GetValue(_source)!, cancellation), CancellationToken.None));
        return command;
    }
}
