using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq quantize MODEL</c>.</summary>
internal sealed class QuantizeCommand(Terminal terminal, Engine engine, HubFiles hub)
{
    private readonly QuantizeOptions _options = new(engine.Methods);

    public Command Build()
    {
        Command command = _options.AddTo(new Command("quantize", "Quantize a model, measure what was lost, and write the result."));
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        using var setup = QuantizeSetup.Open(engine.Methods, hub, _options, parsed, planning: false, cancellation);
        (QuantizeJob job, IReadOnlyList<string> notes) = setup.Prepare();
        if (setup.Problems.Count > 0) throw new RecipeException(setup.Problems);
        RunReport report;
        string? exported = null;
        using (RunNarrator narrator = RunDisplay.Create(terminal, setup.Json))
        {
            narrator.Note(setup.Describe());
            foreach (string line in RunHeader.Lines(job.Recipe, setup.Device.Name)) narrator.Note(line);
            foreach (string note in notes) narrator.Note(note);
            report = engine.Quantize.Run(job, narrator, cancellation);
            if (job.Redo is not null)
            {
                foreach ((string container, string old) in ResultExport.Earlier(report.Output).Where(earlier => earlier.Path != setup.Export?.Path))
                    narrator.Warn($"{old} has the weights of before; --to {container} writes it again.");
            }
            if (setup.Export is { } export)
            {
                exported = export.Write(report.Output, narrator, cancellation);
                report = report with { Exported = export.Path };
            }
        }
        Print(report, setup.Json, job.Blocks is not null, exported);
        return ExitCodes.Success;
    }

    private void Print(RunReport report, bool json, bool measuringOnly, string? exported)
    {
        TextWriter writer = json ? terminal.Error : terminal.Out;
        writer.WriteLine();
        if (report.EvaluationSource is { } source) writer.WriteLine($"Measured on {source}:");
        if (!measuringOnly || report.Result is not null) writer.Write(ResultTable.Of(report));
        foreach (string warning in report.Warnings) writer.WriteLine($"warning: {OptionText.Of(warning)}");
        writer.WriteLine($"{Format.Duration(report.Seconds)}, peak memory {Format.Bytes(report.PeakMemoryBytes)}{(measuringOnly ? "" : $", written to {report.Output}")}");
        if (exported is not null) writer.WriteLine(exported);
        if (!measuringOnly && AdapterHint.Of(report.Output) is { } hint) writer.WriteLine(hint);
        if (json) terminal.Out.WriteLine(JsonSerializer.Serialize(report, RunJson.Default.RunReport));
    }
}
