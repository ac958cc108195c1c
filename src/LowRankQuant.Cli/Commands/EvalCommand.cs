using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Evaluating;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq eval MODEL</c>.</summary>
internal sealed class EvalCommand(Terminal terminal, Engine engine, HubFiles hub)
{
    private readonly EvalOptions _options = new();
    private readonly Option<string?> _threads = CommonOptions.Threads();
    private readonly Option<string?> _memory = CommonOptions.Memory();
    private readonly Option<string?> _kernels = CommonOptions.Kernels();
    private readonly Option<bool> _json = CommonOptions.Json();

    public Command Build()
    {
        Command command = _options.AddTo(new Command("eval", "Ask a model the questions of tasks, or measure perplexity and divergence from a reference on a text."));
        foreach (Option option in new Option[] { _threads, _memory, _kernels, _json }) command.Options.Add(option);
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var reader = new OptionReader(parsed);
        bool json = reader.Flag(_json);
        CpuDeviceOptions deviceOptions = CommonOptions.Device(reader, _threads, _kernels);
        long? memory = reader.Size(_memory);
        string argument = parsed.GetValue(_options.Model)!;
        EvalRequest request = _options.Read(reader, argument == ModelPath.Demo ? ModelPath.Of(argument).EvaluationText : null);
        TextArguments.CheckMeasured(request.Text, request.JoinRows, "--text", reader.Problems);
        if (request.Text is { } given && TextArguments.Dataset(given) is not null && request.Perplexity != PerplexityKind.Windows)
            reader.Problems.Add($"--text {given}: a data set by name is measured in windows, as papers do; for another --perplexity name a file, such as wiki.test.raw.");
        bool codes = reader.Choice(_options.Products, EvalOptions.ProductNames) != EvalOptions.ProductKind.Floats;
        RequestException.ThrowIfAny(reader.Problems);
        using var device = new CpuDevice(deviceOptions);
        using CausalModel model = ModelSource.Open(hub.Model(argument, cancellation).Path, device, hub.Adapter(reader.Text(_options.Adapter), cancellation), ModelUse.Forward);
        CheckWindows(request.Windows, model);
        using CausalModel? reference = request.Reference is null ? null : ModelSource.Open(hub.Model(request.Reference, cancellation).Path, device, use: ModelUse.Forward);
        if (reader.Text(_options.Products) is not null && !HasInputQuantizers(model) && (reference is null || !HasInputQuantizers(reference)))
            throw new RequestException([$"--products is for models whose inputs are rounded to integers, and {argument} has none; leave it out."]);
        model.MultipliesCodes = codes;
        if (reference is not null) reference.MultipliesCodes = codes;
        if (request.MeasuresText && reference is not null && reference.Config.VocabularySize != model.Config.VocabularySize)
        {
            throw new RequestException([
                $"--reference {request.Reference}: its vocabulary has {reference.Config.VocabularySize} tokens, the model's {model.Config.VocabularySize}; " +
                "only models with one vocabulary can be compared on a text."]);
        }
        TextInput? text = request.Text is null ? null : hub.Input(new TextArgument(request.Text, null), measured: true, cancellation);
        var job = new EvaluationJob
        {
            Model = model,
            Reference = reference,
            Tasks = request.Tasks is { FromHub: true } named ? named with { Fetched = hub.Tasks(named.Tasks, cancellation) } : request.Tasks,
            Text = text?.Path,
            TextOptions = request.TextOptions with
            {
                Files = text?.Files,
                Name = text is null || text.Name == text.Path ? null : text.Name,
                Join = text?.Join == TextJoin.Spaces ? TextJoin.Spaces : TextJoin.None,
                MostRows = text?.MostRows,
            },
            JoinRows = request.JoinRows || text?.Join == TextJoin.BlankLines,
            Ids = request.Ids is null ? null : hub.Text(request.Ids, cancellation),
            Perplexity = request.Perplexity,
            Harness = request.Harness,
            Windows = request.Windows,
            Average = request.Average,
            AddBos = request.AddBos,
            ReferenceCache = request.ReferenceCache,
            Depth = request.Depth,
            MemoryBytes = memory,
        };
        EvaluationResult figures = Evaluate(job, json, cancellation) with
        {
            Quantizers = model.Checkpoint.Quantizers?.Description,
            Products = model.Checkpoint.Quantizers is null ? null : model.Products.Describe(),
        };
        if (json)
        {
            terminal.Out.WriteLine(JsonSerializer.Serialize(figures, RunJson.Default.EvaluationResult));
            return ExitCodes.Success;
        }
        if (figures.Quantizers is { } running) terminal.Out.WriteLine($"{argument} with {running}, products: {figures.Products}:");
        if (figures.Tasks is { } tasks) terminal.Out.Write(TaskTable.Of(tasks));
        if (request.MeasuresText) terminal.Out.Write(ResultTable.Of(figures));
        if (figures.Depth is { } depth) terminal.Out.Write(DepthTable.Of(depth));
        return ExitCodes.Success;
    }

    private EvaluationResult Evaluate(EvaluationJob job, bool json, CancellationToken cancellation)
    {
        try
        {
            using RunNarrator narrator = RunDisplay.Create(terminal, json);
            return engine.Evaluate.Run(job, narrator, cancellation);
        }
        catch (OperationCanceledException) when (job.Tasks?.ItemsFile is null)
        {
            throw new StoppedException(job.Tasks is null ? "Nothing is kept." : "Nothing is kept; with --items FILE the same command goes on where it stopped.");
        }
    }

    private static bool HasInputQuantizers(CausalModel model) => model.Checkpoint.Quantizers is { HasInputs: true };

    private static void CheckWindows(TextWindowOptions windows, CausalModel model)
    {
        var problems = new List<string>();
        int positions = model.Config.MaxPositions, length = windows.Context ?? Math.Min(TextWindowOptions.UsualContext, positions);
        if (length > positions) problems.Add($"--context {windows.Context}: the model has {positions} positions; ask for at most that many.");
        if (windows.Stride > length) problems.Add($"--stride {windows.Stride}: must be at most the context, {length}; a larger one would skip text.");
        RequestException.ThrowIfAny(problems);
    }
}
