using System.CommandLine;
using LowRankQuant.Cli.Output;

namespace LowRankQuant.Cli.Commands;

/// <summary>The program: parses, dispatches, and turns whatever goes wrong into one message and an exit code.</summary>
internal sealed class App(Terminal terminal, Engine engine)
{
    // Behind help: options that are not for everybody too.
    private const string All = "all";

    // Commands that keep what is finished when they are stopped.
    private static readonly string[] Resumable = ["quantize", "eval", "correct", "compare-methods", "sweep"];

    /// <summary>Runs one command line.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(string[] args, CancellationToken cancellation = default)
    {
        RootCommand root = CreateRoot();
        HelpExamples.AddTo(root);
        if (args is [] or ["help"]) args = ["--help"];
        if (args is ["help", var verb, ..])
        {
            if (root.Subcommands.All(command => command.Name != verb)) return Refuse([ParseProblems.UnknownCommand(verb, root)], "lrq");
            // What everybody needs first is shown unless somebody asks for all.
            if (args[^1] == All) foreach (Option option in root.Subcommands.First(command => command.Name == verb).Options) option.Hidden = false;
            args = [verb, "--help"];
        }
        ParseResult parsed = Parse(root, args);
        if (parsed.Errors.Count > 0 || ParseProblems.HasEmptyValue(parsed)) return ReportParseErrors(parsed);
        using var stop = new StopSignal(terminal.Error, cancellation);
        try
        {
            var configuration = new InvocationConfiguration
            {
                Output = terminal.Out,
                Error = terminal.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            };
            return await parsed.InvokeAsync(configuration, stop.Token);
        }
#pragma warning disable CA1031 // This is the last place that can turn an exception into a message.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            return Failures.Report(failure, terminal.Error, Resumable.Contains(parsed.CommandResult.Command.Name));
        }
    }

    /// <summary>Parses one command line and does nothing.</summary>
    internal ParseResult Parse(string[] args) => Parse(CreateRoot(), args);

    // "@file" and "-abc" have no special meaning here: file names and negative numbers are more common.
    private static ParseResult Parse(RootCommand root, string[] args) =>
        root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });

    private RootCommand CreateRoot()
    {
        // One for all commands of a line: what a name is does not change while they work.
        var hub = new HubFiles(terminal, engine.Hub);
        return new RootCommand("LowRankQuant makes large language models smaller without retraining them.")
        {
            new QuantizeCommand(terminal, engine, hub).Build(),
            new PlanCommand(terminal, engine, hub).Build(),
            new RecipeCommand(terminal, engine, hub).Build(),
            new MethodsCommand(terminal, engine).Build(),
            new PresetsCommand(terminal, engine).Build(),
            new EvalCommand(terminal, engine, hub).Build(),
            new CorrectCommand(terminal, engine, hub).Build(),
            new ReportCommand(terminal).Build(),
            new CompareCommand(terminal).Build(),
            new CompareMethodsCommand(terminal, engine, hub).Build(),
            new SweepCommand(terminal, engine, hub).Build(),
            new DataCommand(terminal, hub).Build(),
            new PullCommand(terminal, engine, hub).Build(),
            new InspectCommand(terminal, hub).Build(),
            new FamiliesCommand(terminal).Build(),
            new DevicesCommand(terminal).Build(),
            new ConvertCommand(terminal, hub).Build(),
            new ExportCommand(terminal, hub).Build(),
            new VerifyCommand(terminal, hub).Build(),
        };
    }

    private int ReportParseErrors(ParseResult parsed) =>
        Refuse(ParseProblems.Of(parsed), parsed.CommandResult.Command is RootCommand ? "lrq" : $"lrq {parsed.CommandResult.Command.Name}");

    private int Refuse(IReadOnlyList<string> problems, string command)
    {
        foreach (string problem in problems) terminal.Error.WriteLine($"error: {Failures.OneLine(problem)}");
        terminal.Error.WriteLine($"'{command} --help' lists what can be given.");
        return ExitCodes.BadRequest;
    }
}
