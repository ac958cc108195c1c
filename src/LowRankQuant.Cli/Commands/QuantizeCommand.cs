using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation.Runs;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq quantize MODEL</c>.</summary>
internal sealed class QuantizeCommand(Terminal terminal, Engine engine)
{
    private readonly QuantizeOptions _options = new();

    public Command Build()
    {
        Command command = _options.AddTo(new Command("quantize", "Quantize a model, measure what was lost, and write the result."));
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        using var setup = QuantizeSetup.Open(_options, parsed, planning: false);
        (QuantizeJob job, IReadOnlyList<string> notes) = setup.Prepare();
        if (setup.Problems.Count > 0) throw new RecipeException(setup.Problems);
        RunReport report;
        using (RunNarrator narrator = RunDisplay.Create(terminal, setup.Json))
        {
            narrator.Note(setup.Describe());
            narrator.Note($"{Describe(job.Recipe)} on {setup.Device.Name}");
            foreach (string note in notes) narrator.Note(note);
            report = engine.Quantize.Run(job, narrator, cancellation);
        }
        Print(report, setup.Json, job.Blocks is not null);
        return ExitCodes.Success;
    }

    private static string Describe(Recipe recipe)
    {
        string method = RecipeNames.Of(RecipeNames.Methods, recipe.Method);
        string rank = recipe.Rank > 0 ? $" rank {recipe.Rank}" : "";
        string tuning = recipe.Tuning is { } tuned ? FormattableString.Invariant($"; then {tuned.Steps} steps of {tuned.Batch} windows over the whole model, rate {tuned.LearningRate}") : "";
        if (recipe.Method == QuantizationMethod.Rtn) return $"{method}, {recipe.Scheme}{tuning}";
        string windows = $"{recipe.Samples} + {recipe.HeldOut} held-out windows of {recipe.SequenceLength} tokens";
        string training = FormattableString.Invariant($"{recipe.Iterations} steps of {recipe.Batch} per block, learning rate {recipe.LearningRate}, ") +
            $"{RecipeNames.Of(RecipeNames.Losses, recipe.Loss)} loss{(recipe.KeepBest ? ", best iterate kept" : "")}";
        if (recipe.Correction is not { } correction) return $"{method}{rank}, {recipe.Scheme}; preset {recipe.Preset}: {windows}, {training}{tuning}";
        string residual = correction.Residual == ResidualRounding.Lrq
            ? $"; residual by lrq{rank}{(correction.TrainBranch ? " and branches trained" : "")}: {training}"
            : "";
        return $"{method}, {recipe.Scheme}; {CorrectionOptions.Describe(correction)}; {windows}{residual}{tuning}";
    }

    private void Print(RunReport report, bool json, bool measuringOnly)
    {
        TextWriter writer = json ? terminal.Error : terminal.Out;
        writer.WriteLine();
        if (report.EvaluationSource is { } source) writer.WriteLine($"Measured on {source}:");
        if (!measuringOnly || report.Result is not null) writer.Write(ResultTable.Of(report));
        foreach (string warning in report.Warnings) writer.WriteLine($"warning: {warning}");
        writer.WriteLine($"{Format.Duration(report.Seconds)}, peak memory {Format.Bytes(report.PeakMemoryBytes)}{(measuringOnly ? "" : $", written to {report.Output}")}");
        if (!measuringOnly && AdapterHint.Of(report.Output) is { } hint) writer.WriteLine(hint);
        if (json) terminal.Out.WriteLine(JsonSerializer.Serialize(report, RunJson.Default.RunReport));
    }
}
