using System.CommandLine;
using System.Globalization;
using LowRankQuant.Cli.Options;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs;

namespace LowRankQuant.Cli.Commands;

/// <summary>From the options of <c>lrq quantize</c>, which <c>lrq plan</c> shares, to a job; whatever is wrong is collected.</summary>
internal sealed class QuantizeSetup : IDisposable
{
    private readonly MethodCatalog _catalog;
    private readonly ModelPath _path;
    private readonly RecipeRequest _request;
    private readonly Settings _settings;
    private readonly OptionReader _reader;
    private readonly bool _planning;
    private readonly RedoSetup? _redo;

    private QuantizeSetup(
        MethodCatalog catalog, ModelPath path, CausalModel model, CpuDevice device, RecipeRequest request, RedoSetup? redo, Settings settings, OptionReader reader, bool json, bool planning)
    {
        _redo = redo;
        _catalog = catalog;
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

    /// <summary>The container that is written beside the result; null for none. There after <see cref="Prepare"/>.</summary>
    public ResultExport? Export { get; private set; }

    /// <summary>Everything that is wrong about the request; complete after <see cref="Prepare"/>.</summary>
    public IReadOnlyList<string> Problems => _reader.Problems;

    /// <summary>Reads the options and opens the model.</summary>
    /// <param name="catalog">The methods that there are.</param>
    /// <param name="hub">Has the files that names of the hub are.</param>
    /// <param name="options">The options.</param>
    /// <param name="parsed">The command line.</param>
    /// <param name="planning">Whether nothing will be run: then neither an output folder nor calibration text is needed.</param>
    /// <param name="cancellation">Ends a fetch.</param>
    public static QuantizeSetup Open(MethodCatalog catalog, HubFiles hub, QuantizeOptions options, ParseResult parsed, bool planning, CancellationToken cancellation)
    {
        var reader = new OptionReader(parsed);
        bool json = reader.Flag(options.Json);
        RedoSetup? redo = RedoSetup.Read(options, reader, catalog);
        RecipeDocument? document = redo?.Document ?? (reader.Text(options.Recipe) is { } name ? RecipeSource.Read(name, catalog) : null);
        if (document is not null) reader.Otherwise(document.Texts.Values);
        RecipeRequest request = options.ReadRequest(reader, redo is not null ? new RecipeRequest() : document?.Request ?? new RecipeRequest());
        CpuDeviceOptions deviceOptions = CommonOptions.Device(reader, options.Threads, options.Kernels);
        Settings settings = ReadSettings(options, reader, document?.Texts.Calibration ?? [], planning);
        string asked = parsed.GetValue(options.Model)!;
        // Nothing is fetched for a request that is wrong.
        if (reader.Problems.Count > 0 && (HubFiles.IsName(asked) || settings.Calibration.Select(text => text.Name).Append(settings.EvalText ?? "").Any(TextArguments.IsFetched))) throw new RequestException(reader.Problems);
        CpuDevice? device = null;
        try
        {
            ModelPath path = hub.Model(asked, cancellation);
            settings = settings with
            {
                Sources = [.. settings.Calibration.Select(text => hub.Input(text, measured: false, cancellation))],
                Measured = settings.EvalText is null ? null : hub.Input(new TextArgument(settings.EvalText, null), measured: true, cancellation),
            };
            device = new CpuDevice(deviceOptions);
            bool learns = RecipeResolver.NeedsText(catalog, request) || (redo is not null && RecipeResolver.NeedsText(catalog, redo.Document.Request));
            // Whatever learns from text runs the model; rounding needs its weights alone.
            CausalModel model = ModelSource.Open(path.Path, device, use: learns ? ModelUse.Any : ModelUse.Weights);
            if (redo is not null) request = redo.Join(request, model.Layout, reader.Problems);
            return new QuantizeSetup(catalog, path, model, device, request, redo, settings, reader, json, planning);
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
    public string Describe()
    {
        string what = $"{_path.Shown}: {Model.Checkpoint.Kind}, {Model.Config.ModelType}";
        return Model.Architecture.Unknown is null
            ? $"{what}, {Model.Config.Layers} blocks of width {Model.Config.HiddenSize}"
            : $"{what} (no family knows it), {Model.Modules.Count()} linears of {Model.Layout.Blocks.Distinct().Count()} layers in {Model.Config.Layers} blocks";
    }

    public void Dispose()
    {
        Model.Dispose();
        Device.Dispose();
    }

    /// <summary>What is asked for beside the recipe.</summary>
    private sealed record Settings(
        string? Output, IReadOnlyList<TextArgument> Calibration, TextFormat? CalibrationFormat, string? TextField, AddBos? AddBos, string? EvalText,
        TextFormat? EvalTextFormat, bool JoinRows, int? EvalWindows, int? EvalContext, DepthOptions? Depth, OutputFormat Format, AdapterForm? AdapterForm,
        long ShardBytes, long? Memory, int? Blocks, bool Overwrite, TemplateArguments? ChatArguments, string? ChatText, bool AssistantOnly, Target? To)
    {
        /// <summary>Calibration as it lies on disk.</summary>
        public IReadOnlyList<TextInput> Sources { get; init; } = [];

        /// <summary>The text to measure on as it lies on disk; null for none.</summary>
        public TextInput? Measured { get; init; }
    }

    private static Settings ReadSettings(QuantizeOptions options, OptionReader reader, IReadOnlyList<string> ofRecipe, bool planning)
    {
        var settings = new Settings(
            reader.Text(options.Out), TextArguments.Read(reader.Texts(options.Calibration) is { Count: > 0 } given ? given : ofRecipe), reader.Choice(options.CalibrationFormat, CommonOptions.TextFormats),
            reader.Text(options.TextField), reader.Choice(options.AddBos, CommonOptions.AddBosNames), reader.Text(options.EvalText),
            reader.Choice(options.EvalTextFormat, CommonOptions.TextFormats), reader.Flag(options.JoinRows), reader.Int(options.EvalWindows, 1), reader.Int(options.EvalContext, 2), CommonOptions.Depth(reader, options.InDepth, options.SwapWindows),
            reader.Choice(options.Format, QuantizeOptions.Formats) ?? OutputFormat.CompressedTensors,
            reader.Choice(options.AdapterForm, QuantizeOptions.AdapterForms),
            reader.Size(options.ShardSize) ?? SafetensorsFolderWriter.DefaultShardSize, reader.Size(options.Memory), reader.Int(options.Blocks, 1),
            reader.Flag(options.Overwrite), CommonOptions.ChatArguments(reader, options.ChatArguments), reader.Text(options.ChatArguments), reader.Flag(options.AssistantOnly),
            reader.Text(options.To) is { } to ? Choices.Parse(ResultContainers.All, to) : null);
        if (!planning && string.IsNullOrWhiteSpace(settings.Output)) reader.Problems.Add("--out is missing: name the output folder.");
        TextArguments.Check(settings.Calibration, reader.Problems);
        if (settings.AssistantOnly && settings.Calibration.Count == 0) reader.Problems.Add("--assistant-only needs --calibration with conversations.");
        else if (settings.AssistantOnly && settings.Calibration is [{ Name: CalibrationOptions.Self }]) reader.Problems.Add("--assistant-only needs conversations, and --calibration self samples text that is none.");
        if (settings.ChatText is not null && settings.EvalText is null && settings.Calibration.All(text => text.Name == CalibrationOptions.Self))
            reader.Problems.Add("--chat-template-kwargs needs conversations, from --calibration or --eval-text.");
        TextArguments.CheckMeasured(settings.EvalText, settings.JoinRows, "--eval-text", reader.Problems);
        return settings;
    }

    /// <summary>The job, with notes about what was decided; sound only when there are no problems.</summary>
    public (QuantizeJob Job, IReadOnlyList<string> Notes) Prepare()
    {
        (ModelPath path, CausalModel model, RecipeRequest request, Settings settings) = (_path, Model, _request, _settings);
        List<string> problems = _reader.Problems;
        IReadOnlyList<TextInput> sources = settings.Sources;
        QuantizationMethod method = RecipeResolver.MethodOf(_catalog, request);
        bool learns = RecipeResolver.NeedsText(_catalog, request) || request.TuneSteps > 0, measuresOnly = !learns && sources.Count > 0;
        bool bundled = path.IsDemo && sources.Count == 0 && learns;
        // A calibration text that nothing learns from is there to be measured on.
        TextInput? measured = settings.Measured ?? (path.IsDemo && !measuresOnly ? new TextInput(path.EvaluationText!) : null);
        string? evalText = measured?.Path;
        if (measuresOnly && settings.EvalText is not null)
            problems.Add($"--calibration does not apply to method {method.Name} beside --eval-text: {method.Name} learns nothing and is measured on that text; leave one of them out.");
        CalibrationSettings.Check(problems, [.. sources.Select(source => source.Path)], settings.CalibrationFormat, settings.TextField, settings.AddBos, evalText, settings.EvalTextFormat, bundled);
        if (bundled) sources = [path.CalibrationText];
        if (settings.EvalWindows is not null && evalText is null) problems.Add("--eval-windows needs --eval-text: without it the held-out calibration windows are measured on.");
        if (settings.EvalContext is not null && evalText is null) problems.Add("--eval-context needs --eval-text: without it the held-out calibration windows are measured on, as long as they are.");
        if (settings.EvalContext > model.Config.MaxPositions) problems.Add($"--eval-context {settings.EvalContext}: the model takes at most {model.Config.MaxPositions} tokens.");
        if (settings.JoinRows && evalText is null) problems.Add("--join-rows needs --eval-text: it says how the rows of that text follow each other.");
        if (settings.EvalTextFormat is not null && settings.EvalText is null) problems.Add("--eval-text-format needs --eval-text: it says what that file holds.");
        if (settings.Depth is not null && settings.Blocks is not null) problems.Add("--in-depth looks at a whole result, and --blocks makes none; leave one of them out.");
        if (model.Architecture.Unknown is { } unknown) CheckUnknown(unknown, request, settings, problems);
        if (_redo is not null) RedoSetup.Check(settings.Output, settings.Format, settings.AdapterForm, problems);
        CheckOutput(settings, path, [.. sources.Append(measured).SelectMany(text => text is null ? [] : text.Files ?? [text.Path])], problems);
        if (settings.Blocks > model.Config.Layers) problems.Add($"--blocks {settings.Blocks}: the model has {model.Config.Layers}.");
        request = request with { AssistantOnly = settings.AssistantOnly, HasCalibration = sources.Count > 0 || (_planning && learns), BundledTokens = bundled ? CountTokens(model, path.CalibrationText) : null };
        var found = new List<string>(problems);
        int known = problems.Count;
        ResolvedRecipe resolved = Examine(request, found);
        if (found.Count == known && !bundled && TokensBelow(resolved.Recipe) is { } tokens) resolved = Examine(request with { CalibrationTokens = tokens }, found);
        problems.AddRange(found.Skip(known));
        Recipe recipe = resolved.Recipe;
        IReadOnlyList<string> notes = measuresOnly && recipe.HeldOut == 0
            ? [.. resolved.Notes, $"{method.Name} learns nothing from --calibration, and with --held-out 0 nothing is measured on it: its windows are written to calibration.ids.jsonl and that is all."]
            : resolved.Notes;
        if (recipe.Precision == Precision.BFloat16 && !Device.Kernels.HasHalf)
        {
            string remedy = CpuSurvey.Find(CpuKernelKind.OneDnn).MultipliesHalf ? "--kernels onednn multiplies bf16" : "neither the processor nor a library here multiplies bf16 ('lrq devices')";
            notes = [.. notes, $"--precision bf16: these kernels round to bf16 and multiply floats, which takes longer than fp32 does; {remedy}."];
        }
        if (settings.Depth is { } depth && model.Architecture.Unknown is null) CheckDepth(depth, recipe, measures: evalText is not null || (sources.Count > 0 && recipe.HeldOut > 0) || _planning, problems);
        if (settings.To is { } container) CheckExport(container, settings, problems);
        if (settings.AdapterForm is not null) CheckAdapterForm(recipe, settings.Format, problems);
        if (settings.Format == OutputFormat.Dense && recipe is not { Activations: null, Cache: null })
            problems.Add("--format dense holds floats and cannot say how activations and caches are quantized; leave it out, or quantize weights alone.");
        var job = new QuantizeJob
        {
            Model = model,
            Recipe = recipe,
            Output = settings.Output ?? "",
            Overwrite = settings.Overwrite,
            Calibration = sources.Count == 0 ? null : Calibration(recipe),
            EvaluationText = evalText,
            EvaluationTextOptions = EvaluationText(settings, measured),
            JoinRows = settings.JoinRows || measured?.Join == TextJoin.BlankLines,
            EvaluationWindows = settings.EvalWindows,
            EvaluationContext = settings.EvalContext,
            Depth = settings.Depth,
            AddBos = settings.AddBos ?? AddBos.Auto,
            Format = settings.Format,
            AdapterForm = settings.AdapterForm,
            ShardBytes = settings.ShardBytes,
            MemoryBytes = settings.Memory,
            Blocks = settings.Blocks,
            Redo = _redo is null ? null : new RedoneBlocks(_redo.Blocks, Examine(_redo.Document.Request with { HasCalibration = _redo.Document.Texts.Calibration.Count > 0 }, []).Recipe),
            Texts = TextsOf(settings, sources, measured),
            SourceName = path.Shown,
            BaseModel = path.BaseModel,
            Spell = OptionText.Of,
        };
        return (job, notes);

        ResolvedRecipe Examine(RecipeRequest asked, List<string> wrong) => RecipeResolver.Examine(
            _catalog, asked, model.Config, model.Layout, model.Checkpoint.NativeScaleType, wrong);

        CalibrationOptions Calibration(Recipe chosen) => new()
        {
            Sources = sources,
            Format = settings.CalibrationFormat ?? TextFormat.Auto,
            TextField = settings.TextField ?? TextSourceOptions.UsualField,
            Samples = chosen.Samples,
            HeldOut = chosen.HeldOut,
            MoreSamples = chosen.Tuning is { } tuning ? tuning.Samples - chosen.Samples : 0,
            SequenceLength = chosen.SequenceLength,
            ChatArguments = settings.ChatArguments,
            AssistantOnly = settings.AssistantOnly,
            AddBos = settings.AddBos ?? AddBos.Auto,
            Seed = chosen.Seed,
        };

        // How many tokens the user's text has, where the windows need more. All numbers that were asked for are left to the run, which reads the text anyway.
        long? TokensBelow(Recipe chosen)
        {
            bool decided = request is { Samples: not null, HeldOut: not null, SequenceLength: not null };
            if (sources.Count == 0 || (decided && !_planning)) return null;
            long tokens;
            try
            {
                tokens = CalibrationLoader.CountTokens(Calibration(chosen), model.Checkpoint.FindTokenizer(), model.Config, model);
            }
            catch (Exception failure) when (failure is TextSourceException or CalibrationException or TokenizerException or IOException)
            {
                // The run or the plan meets the same failure when it reads the text.
                return null;
            }
            return tokens < ((long)chosen.Samples + chosen.HeldOut) * chosen.SequenceLength ? tokens : null;
        }
    }

    // As the recipe of the result keeps them.
    private static RecipeTexts TextsOf(Settings settings, IReadOnlyList<TextInput> sources, TextInput? measured)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        Keep("calibration_format", settings.CalibrationFormat is { } format ? Choices.Of(CommonOptions.TextFormats, format) : null);
        Keep("text_field", settings.TextField);
        Keep("add_bos", settings.AddBos is { } bos ? Choices.Of(CommonOptions.AddBosNames, bos) : null);
        Keep("chat_template_kwargs", settings.ChatText);
        Keep("assistant_only", settings.AssistantOnly ? "true" : null);
        Keep("eval_text", measured is null ? null : Kept(measured));
        Keep("eval_text_format", settings.EvalTextFormat is { } held ? Choices.Of(CommonOptions.TextFormats, held) : null);
        Keep("join_rows", settings.JoinRows ? "true" : null);
        Keep("eval_windows", settings.EvalWindows?.ToString(CultureInfo.InvariantCulture));
        Keep("eval_context", settings.EvalContext?.ToString(CultureInfo.InvariantCulture));
        Keep("in_depth", settings.Depth is null ? null : "true");
        Keep("swap_windows", settings.Depth?.SwapWindows?.ToString(CultureInfo.InvariantCulture));
        Keep("format", settings.Format == OutputFormat.CompressedTensors ? null : Choices.Of(QuantizeOptions.Formats, settings.Format));
        Keep("shard_size", settings.ShardBytes == SafetensorsFolderWriter.DefaultShardSize ? null : settings.ShardBytes.ToString(CultureInfo.InvariantCulture));
        Keep("adapter_form", settings.AdapterForm is { } form ? Choices.Of(QuantizeOptions.AdapterForms, form) : null);
        return new RecipeTexts { Calibration = [.. sources.Select(source => new TextArgument(Kept(source), source.Weight).ToString())], Values = values };

        // Names are the same wherever the recipe lies.
        static string Kept(TextInput text) => text.Path == CalibrationOptions.Self || text.Name != text.Path ? text.Name : Path.GetFullPath(text.Path);

        void Keep(string key, string? value)
        {
            if (value is not null) values.Add(key, value);
        }
    }

    // A model that no family knows can be rounded and not run.
    private void CheckUnknown(string reason, RecipeRequest request, Settings settings, List<string> problems)
    {
        if (request.TuneSteps > 0) problems.Add($"--tune-steps runs the model, and {reason}; leave it out.");
        if (settings.Depth is not null) problems.Add($"--in-depth runs the model, and {reason}; leave it out.");
        if (settings.EvalText is not null) problems.Add($"--eval-text runs the model, and {reason}; leave it out.");
        if (settings.Calibration.Count > 0) problems.Add($"--calibration reads a text that the model is run on, and {reason}; leave it out.");
        if (settings.Format == OutputFormat.Dense) problems.Add($"--format dense writes all tensors in one type, and {reason}; leave it out.");
        if ((Model.Checkpoint as HuggingFaceCheckpoint)?.Container is { } container)
            problems.Add($"{Model.Checkpoint.Location} is quantized already ({container.Name}), and {reason}; quantize the original.");
    }

    private static void CheckDepth(DepthOptions depth, Recipe recipe, bool measures, List<string> problems)
    {
        if (!measures) problems.Add("--in-depth looks at a result on a text, and this run is measured on none; name an --eval-text.");
        bool folds = recipe.Transforms.Count > 0 || recipe.Methods.Any(method => method.Transform is not null);
        if (depth.SwapWindows > 0 && folds)
            problems.Add($"--swap-windows {depth.SwapWindows}: transforms of the run move factors between linears and norms, and then a linear of the result does not fit into the original by itself; leave it out, or give 0.");
    }

    // What no quantization of the model could get round is not left to the end of the run.
    private void CheckExport(Target container, Settings settings, List<string> problems)
    {
        string named = $"--to {Choices.Of(ResultContainers.All, container)}";
        if (settings.Blocks is not null) problems.Add($"{named} writes a whole result, and --blocks makes none; leave one of them out.");
        if (settings.Format == OutputFormat.Dense) problems.Add($"{named} takes codes, and --format dense writes floats; leave one of them out.");
        if (Model.Architecture.Unknown is { } unknown) problems.Add($"{named}: {unknown}; leave it out.");
        if (settings is { Blocks: not null } or { Format: OutputFormat.Dense } || Model.Architecture.Unknown is not null) return;
        Export = ResultExport.Of(container, settings.Output ?? "", _path);
        problems.AddRange(Export.Obstacles(Model.Checkpoint));
    }

    private static void CheckAdapterForm(Recipe recipe, OutputFormat format, List<string> problems)
    {
        if (!recipe.Method.MayHaveBranches)
            problems.Add("--adapter-form says how low-rank branches are written, and this run makes none; leave it out, or choose a --method that does, and a rank.");
        else if (format == OutputFormat.Dense)
            problems.Add("--adapter-form does not apply to --format dense, which adds low-rank branches to the weights; leave one of them out.");
    }

    private static TextSourceOptions EvaluationText(Settings settings, TextInput? measured) => new()
    {
        ChatArguments = settings.ChatArguments,
        Files = measured?.Files,
        Name = measured is null || measured.Name == measured.Path ? null : measured.Name,
        Join = measured?.Join == TextJoin.Spaces ? TextJoin.Spaces : TextJoin.None,
        MostRows = measured?.MostRows,
        Format = settings.EvalTextFormat ?? TextFormat.Auto,
        TextField = settings.TextField ?? TextSourceOptions.UsualField,
        FormatOption = "--eval-text-format",
    };

    // --overwrite empties the output folder: nothing that the run reads may lie in it.
    private static void CheckOutput(Settings settings, ModelPath path, IReadOnlyList<string> texts, List<string> problems)
    {
        if (string.IsNullOrWhiteSpace(settings.Output)) return;
        if (FolderPath.FileInTheWay(settings.Output) is { } file) problems.Add($"--out {settings.Output}: {file} is a file; name a folder.");
        if (FolderPath.Holds(settings.Output, path.Path)) problems.Add($"--out {settings.Output}: holds the model itself; name another folder.");
        else if (Directory.Exists(path.Path) && FolderPath.Holds(path.Path, settings.Output)) problems.Add($"--out {settings.Output}: lies within the model's folder; name another folder.");
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
