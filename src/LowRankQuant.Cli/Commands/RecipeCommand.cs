using System.CommandLine;
using LowRankQuant.Cli.Options;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Runs;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq recipe MODEL</c>: the recipe that a command line of quantize means, and nothing else.</summary>
internal sealed class RecipeCommand(Terminal terminal, Engine engine, HubFiles hub)
{
    private readonly QuantizeOptions _options = new(engine.Methods);

    public Command Build()
    {
        Command command = _options.AddTo(new Command("recipe", "Print the recipe that a command line of quantize means, every value resolved, as YAML (--json: as JSON); nothing is run."));
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        using var setup = QuantizeSetup.Open(engine.Methods, hub, _options, parsed, planning: true, cancellation);
        (QuantizeJob job, IReadOnlyList<string> notes) = setup.Prepare();
        if (setup.Problems.Count > 0) throw new RecipeException(setup.Problems);
        foreach (string note in notes) terminal.Error.WriteLine(OptionText.Of(note));
        terminal.Out.Write(setup.Json ? RecipeFile.Text(job.Recipe, job.Texts) : RecipeFile.Yaml(job.Recipe, job.Texts));
        return ExitCodes.Success;
    }
}
