using System.CommandLine;
using LowRankQuant.Cli.Options;
using LowRankQuant.Evaluation.Runs;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Cli.Commands;

/// <summary>From the options of <c>lrq quantize</c>, which <c>lrq plan</c> shares, to a job; whatever is wrong is collected.</summary>
internal sealed class QuantizeSetup : IDisposable
{
    private readonly ModelPath _path;
    private readonly RecipeRequest _request;
    private readonly Settings _settings;
    private readonly OptionReader _reader;
    private readonly bool _planning;

    private QuantizeSetup(ModelPath path, CausalModel model, CpuDevice device, RecipeRequest request, Settings settings, OptionReader reader, bool json, bool planning)
    {
        _path = path;
        Model = model;
        Device = device;
        _request = request;
        _settings = settings;
        _reader = reader;
        Json = json;
        _planning = planning;
    }

    public CausalModel Model { get; }

    public CpuDevice Device { get; }

    /// <summary>Whether one JSON object was asked for.</summary>
    public bool Json { get; }

    /// <summary>Everything that is wrong about the request; complete after <see cref="Prepare"/>.</summary>
    public IReadOnlyList<string> Problems => _reader.Problems;

    /// <summary>Reads the options and opens the model.</summary>
    /// <param name="options">The options.</param>
    /// <param name="parsed">The command line.</param>
    /// <param name="planning">Whether nothing will be run: then neither an output folder nor calibration text is needed.</param>
    public static QuantizeSetup Open(QuantizeOptions options, ParseResult parsed, bool planning)
    {
        var reader = new OptionReader(parsed);
        bool json = reader.Flag(options.Json);
        RecipeRequest request = options.ReadRequest(reader);
        CpuDeviceOptions deviceOptions = CommonOptions.Device(reader, options.Threads, options.Kernels);
        Settings settings = ReadSettings(options, reader, planning);
        CpuDevice? device = null;
        try
        {
            ModelPath path = ModelPath.Of(parsed.GetValue(options.Model)!);
            device = new CpuDevice(deviceOptions);
            return new QuantizeSetup(path, ModelSource.Open(path.Path, device), device, request, settings, reader, json, planning);
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
    }

    /// <summary>One line about the model.</summary>
    public string Describe() => $"{(_path.IsDemo ? ModelPath.Demo : _path.Path)}: {Model.Checkpoint.Kind}, {Model.Config.ModelType}, {Model.Config.Layers} blocks of width {Model.Config.HiddenSize}";

    public void Dispose()
    {
        Model.Dispose();
        Device.Dispose();
    }

    /// <summary>What is asked for beside the recipe.</summary>
    private sealed record Settings(
        string? Output, IReadOnlyList<string> Calibration, CalibrationFormat? CalibrationFormat, string? TextField, AddBos? AddBos, string? EvalText,
        int? EvalWindows, OutputFormat Format, AdapterForm AdapterForm, long ShardBytes, long? Memory, int? Blocks, bool Overwrite);

    private static Settings ReadSettings(QuantizeOptions options, OptionReader reader, bool planning)
    {
        var settings = new Settings(
            reader.Text(options.Out), reader.Texts(options.Calibration), reader.Choice(options.CalibrationFormat, QuantizeOptions.CalibrationFormats),
            reader.Text(options.TextField), reader.Choice(options.AddBos, CommonOptions.AddBosNames), reader.Text(options.EvalText),
            reader.Int(options.EvalWindows, 1), reader.Choice(options.Format, QuantizeOptions.Formats) ?? OutputFormat.CompressedTensors,
            reader.Choice(options.Correction.AdapterForm, CorrectionOptions.AdapterForms) ?? AdapterForm.Codes,
            reader.Size(options.ShardSize) ?? SafetensorsFolderWriter.DefaultShardSize, reader.Size(options.Memory), reader.Int(options.Blocks, 1),
            reader.Flag(options.Overwrite));
        if (!planning && string.IsNullOrWhiteSpace(settings.Output)) reader.Problems.Add("--out is missing: name the output folder.");
        if (settings.Calibration.Count > 1 && settings.Calibration.Contains(CalibrationOptions.Self))
            reader.Problems.Add($"--calibration {CalibrationOptions.Self} stands alone; write ./{CalibrationOptions.Self} for a file of that name.");
        return settings;
    }

    /// <summary>The job, with notes about what was decided; sound only when there are no problems.</summary>
    public (QuantizeJob Job, IReadOnlyList<string> Notes) Prepare()
    {
        (ModelPath path, CausalModel model, RecipeRequest request, Settings settings) = (_path, Model, _request, _settings);
        List<string> problems = _reader.Problems;
        IReadOnlyList<string> sources = settings.Calibration;
        bool learns = request.Method is null || RecipeNames.Parse(RecipeNames.Methods, request.Method) is not QuantizationMethod.Rtn || request.TuneSteps > 0;
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
        ResolvedRecipe resolved = RecipeResolver.Examine(
            request with { HasCalibration = sources.Count > 0 || (_planning && learns), BundledTokens = bundled ? CountTokens(model, path.CalibrationText) : null },
            model.Config, [.. model.Linears.Select(linear => new LinearShape(linear.Name, linear.OutFeatures, linear.InFeatures))],
            model.Checkpoint.NativeScaleType, problems);
        Recipe recipe = resolved.Recipe;
        var job = new QuantizeJob
        {
            Model = model,
            Recipe = recipe,
            Output = settings.Output ?? ".",
            Overwrite = settings.Overwrite,
            Calibration = sources.Count == 0 ? null : new CalibrationOptions
            {
                Sources = sources,
                Format = settings.CalibrationFormat ?? CalibrationFormat.Auto,
                TextField = settings.TextField ?? "text",
                Samples = recipe.Samples,
                HeldOut = recipe.HeldOut,
                MoreSamples = recipe.Tuning is { } tuning ? tuning.Samples - recipe.Samples : 0,
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
}
