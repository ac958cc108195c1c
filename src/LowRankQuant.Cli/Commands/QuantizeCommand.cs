using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation.Runs;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;
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
        var reader = new OptionReader(parsed);
        bool json = reader.Flag(_options.Json);
        RecipeRequest request = _options.ReadRequest(reader);
        CpuDeviceOptions deviceOptions = CommonOptions.Device(reader, _options.Threads, _options.Kernels);
        Settings settings = ReadSettings(reader);
        ModelPath path;
        CausalModel model;
        CpuDevice? device = null;
        try
        {
            path = ModelPath.Of(parsed.GetValue(_options.Model)!);
            device = new CpuDevice(deviceOptions);
            model = ModelSource.Open(path.Path, device);
        }
        catch (Exception failure) when (reader.Problems.Count > 0)
        {
            device?.Dispose();
            throw new RequestException([.. reader.Problems, failure.Message]);
        }
        catch
        {
            device?.Dispose();
            throw;
        }
        using (device)
        using (model)
        {
            (QuantizeJob job, IReadOnlyList<string> notes) = Prepare(path, model, request, settings, reader);
            RunReport report;
            using (RunNarrator narrator = RunDisplay.Create(terminal, json))
            {
                narrator.Note($"{(path.IsDemo ? ModelPath.Demo : path.Path)}: {model.Checkpoint.Kind}, {model.Config.ModelType}, {model.Config.Layers} blocks of width {model.Config.HiddenSize}");
                narrator.Note($"{Describe(job.Recipe)} on {device.Name}");
                foreach (string note in notes) narrator.Note(note);
                report = engine.Quantize.Run(job, narrator, cancellation);
            }
            Print(report, json, job.Blocks is not null);
        }
        return ExitCodes.Success;
    }

    /// <summary>What is asked for beside the recipe.</summary>
    private sealed record Settings(
        string? Output, IReadOnlyList<string> Calibration, CalibrationFormat? CalibrationFormat, string? TextField, AddBos? AddBos, string? EvalText,
        int? EvalWindows, OutputFormat Format, AdapterForm AdapterForm, long ShardBytes, long? Memory, int? Blocks, bool Overwrite);

    private Settings ReadSettings(OptionReader reader)
    {
        var settings = new Settings(
            reader.Text(_options.Out), reader.Texts(_options.Calibration), reader.Choice(_options.CalibrationFormat, QuantizeOptions.CalibrationFormats),
            reader.Text(_options.TextField), reader.Choice(_options.AddBos, CommonOptions.AddBosNames), reader.Text(_options.EvalText),
            reader.Int(_options.EvalWindows, 1), reader.Choice(_options.Format, QuantizeOptions.Formats) ?? OutputFormat.CompressedTensors,
            reader.Choice(_options.Correction.AdapterForm, CorrectionOptions.AdapterForms) ?? AdapterForm.Pattern,
            reader.Size(_options.ShardSize) ?? SafetensorsFolderWriter.DefaultShardSize, reader.Size(_options.Memory), reader.Int(_options.Blocks, 1),
            reader.Flag(_options.Overwrite));
        if (string.IsNullOrWhiteSpace(settings.Output)) reader.Problems.Add("--out is missing: name the output folder.");
        if (settings.Calibration.Count > 1 && settings.Calibration.Contains(CalibrationOptions.Self))
            reader.Problems.Add($"--calibration {CalibrationOptions.Self} stands alone; write ./{CalibrationOptions.Self} for a file of that name.");
        return settings;
    }

    private static (QuantizeJob Job, IReadOnlyList<string> Notes) Prepare(
        ModelPath path, CausalModel model, RecipeRequest request, Settings settings, OptionReader reader)
    {
        List<string> problems = reader.Problems;
        IReadOnlyList<string> sources = settings.Calibration;
        bool learns = request.Method is null || RecipeNames.Parse(RecipeNames.Methods, request.Method) is not QuantizationMethod.Rtn;
        bool bundled = path.IsDemo && sources.Count == 0 && learns;
        if (bundled) sources = [path.CalibrationText];
        if (sources.Count == 0)
        {
            Foreign("--calibration-format", settings.CalibrationFormat is not null);
            Foreign("--text-field", settings.TextField is not null);
        }
        string? evalText = settings.EvalText ?? (path.IsDemo ? path.EvaluationText : null);
        if (settings.EvalWindows is not null && evalText is null) problems.Add("--eval-windows needs --eval-text: without it the held-out calibration windows are measured on.");
        CheckOutput(settings, path, [.. sources, .. evalText is null ? Array.Empty<string>() : [evalText]], problems);
        if (settings.Blocks > model.Config.Layers) problems.Add($"--blocks {settings.Blocks}: the model has {model.Config.Layers}.");
        ResolvedRecipe resolved = RecipeResolver.Resolve(
            request with { HasCalibration = sources.Count > 0, BundledTokens = bundled ? CountTokens(model, path.CalibrationText) : null },
            model.Config, [.. model.Linears.Select(linear => new LinearShape(linear.Name, linear.OutFeatures, linear.InFeatures))],
            model.Checkpoint.NativeScaleType, problems);
        Recipe recipe = resolved.Recipe;
        var job = new QuantizeJob
        {
            Model = model,
            Recipe = recipe,
            Output = settings.Output!,
            Overwrite = settings.Overwrite,
            Calibration = sources.Count == 0 ? null : new CalibrationOptions
            {
                Sources = sources,
                Format = settings.CalibrationFormat ?? CalibrationFormat.Auto,
                TextField = settings.TextField ?? "text",
                Samples = recipe.Samples,
                HeldOut = recipe.HeldOut,
                SequenceLength = recipe.SequenceLength,
                AddBos = settings.AddBos ?? AddBos.Auto,
                Seed = recipe.Seed,
            },
            EvaluationText = evalText,
            EvaluationWindows = settings.EvalWindows,
            Format = settings.Format,
            AdapterForm = settings.AdapterForm,
            ShardBytes = settings.ShardBytes,
            MemoryBytes = settings.Memory,
            Blocks = settings.Blocks,
        };
        return (job, resolved.Notes);

        void Foreign(string option, bool given)
        {
            if (given) problems.Add($"{option} needs --calibration: it says how calibration files are read.");
        }
    }

    // --overwrite empties the output folder: nothing that the run reads may lie in it.
    private static void CheckOutput(Settings settings, ModelPath path, IReadOnlyList<string> texts, List<string> problems)
    {
        if (string.IsNullOrWhiteSpace(settings.Output)) return;
        if (FolderPath.Holds(settings.Output, path.Path)) problems.Add($"--out {settings.Output}: holds the model itself; name another folder.");
        foreach (string text in texts)
        {
            if (settings.Overwrite && text != CalibrationOptions.Self && FolderPath.Holds(settings.Output, text))
                problems.Add($"--overwrite would delete {text}, which this run reads; choose another --out.");
        }
    }

    // The lines between stories are one token each, as the loader reads them.
    private static long CountTokens(CausalModel model, string file)
    {
        const string separator = "<|endoftext|>";
        string text = File.ReadAllText(file).Replace($"\n{separator}\n", separator, StringComparison.Ordinal);
        return model.Checkpoint.LoadTokenizer().Encode(text, addSpecialTokens: false).Length;
    }

    private static string Describe(Recipe recipe)
    {
        string method = RecipeNames.Of(RecipeNames.Methods, recipe.Method);
        string rank = recipe.Rank > 0 ? $" rank {recipe.Rank}" : "";
        if (recipe.Method == QuantizationMethod.Rtn) return $"{method}, {recipe.Scheme}";
        string windows = $"{recipe.Samples} + {recipe.HeldOut} held-out windows of {recipe.SequenceLength} tokens";
        string training = FormattableString.Invariant($"{recipe.Iterations} steps of {recipe.Batch} per block, learning rate {recipe.LearningRate}, ") +
            $"{RecipeNames.Of(RecipeNames.Losses, recipe.Loss)} loss{(recipe.KeepBest ? ", best iterate kept" : "")}";
        if (recipe.Correction is not { } correction) return $"{method}{rank}, {recipe.Scheme}; preset {recipe.Preset}: {windows}, {training}";
        string residual = correction.Residual == ResidualRounding.Lrq
            ? $"; residual by lrq{rank}{(correction.TrainBranch ? " and branches trained" : "")}: {training}"
            : "";
        return $"{method}, {recipe.Scheme}; {CorrectionOptions.Describe(correction)}; {windows}{residual}";
    }

    private void Print(RunReport report, bool json, bool measuringOnly)
    {
        TextWriter writer = json ? terminal.Error : terminal.Out;
        writer.WriteLine();
        if (report.EvaluationSource is { } source) writer.WriteLine($"Measured on {source}:");
        if (!measuringOnly || report.Result is not null) writer.Write(ResultTable.Of(report));
        foreach (string warning in report.Warnings) writer.WriteLine($"warning: {warning}");
        writer.WriteLine($"{Format.Duration(report.Seconds)}, peak memory {Format.Bytes(report.PeakMemoryBytes)}{(measuringOnly ? "" : $", written to {report.Output}")}");
        if (json) terminal.Out.WriteLine(JsonSerializer.Serialize(report, RunJson.Default.RunReport));
    }
}
