using System.CommandLine;
using LowRankQuant.Cli.Options;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq export RUN --to FORMAT --out PATH</c>.</summary>
internal sealed class ExportCommand(Terminal terminal, HubFiles hub)
{
    private readonly Argument<string> _run = new("RUN") { Description = $"A quantized model. {ModelPath.Help}" };
    private readonly ExportOptionSet _options = new(defaultTarget: null);

    public Command Build()
    {
        var command = new Command("export", "Write a quantized model for another engine (--to), with the codes and scales that it has.") { _run };
        foreach (Option option in _options.All) command.Options.Add(option);
        var run = new ExportRun(terminal, hub, _options);
        command.SetAction((parsed, cancellation) => Task.Run(() => run.Run(parsed, parsed.GetValue(_run)!, cancellation), CancellationToken.None));
        return command;
    }
}
