using System.CommandLine;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Options;

/// <summary>The options of <c>lrq eval</c> that say what is measured.</summary>
internal sealed class EvalOptions
{
    public static IReadOnlyList<KeyValuePair<string, PerplexityKind>> PerplexityNames { get; } =
        [new("windows", PerplexityKind.Windows), new("rolling", PerplexityKind.Rolling), new("llama.cpp", PerplexityKind.LlamaCpp)];

    public static IReadOnlyList<KeyValuePair<string, ProductKind>> ProductNames { get; } = [new(LinearProducts.Integers, ProductKind.Codes), new(LinearProducts.Floats, ProductKind.Floats)];

    public enum ProductKind
    {
        Codes,
        Floats,
    }

    private enum PartialWindow
    {
        Keep,
        Drop,
    }

    public Argument<string> Model { get; } = CommonOptions.Model();

    public Option<string?> Reference { get; } = Create("--reference", "MODEL", "The model that figures are compared with: KL divergence and top-1 agreement of a text (not of --perplexity rolling, which defines none), paired differences of tasks.");

    public Option<string?> ReferenceCache { get; } = Create(
        "--reference-cache", "DIR", "A folder where the reference's hidden states of a text are kept, so that the next model compared with it on the same windows does not run it again (hidden size x 4 bytes a token).");

    public Option<bool> InDepth { get; } = CommonOptions.InDepth("the model");

    public Option<string?> SwapWindows { get; } = CommonOptions.SwapWindows();

    public Option<string?> Products { get; } = Create(
        "--products", "int8|float", "Where inputs and weights are both rounded to integers, multiply the codes, which is exact and faster, or the rounded floats (default: int8).");

    public Option<string?> Adapter { get; } = Create(
        "--adapter", "PATH",
        "A folder with branches.safetensors, a PEFT folder or a GGUF LoRA file to put on the model, here or on the hub (hf://ORG/NAME) (default: the folder 'adapter' within the model's, if it is there).");

    public Option<string?> Text { get; } = Create("--text", "FILE", "Text to measure on: txt, csv, json, jsonl, parquet (texts or conversations), these as .gz or .zst, or token ids; a file, a folder, a pattern, on the hub (hf://datasets/ORG/NAME/FILE), or wikitext2 or c4 as papers measure on them (lrq data says how); the demo brings its own.");

    public Option<string?> TextFormat { get; } = CommonOptions.FormatOfText("--text-format", "that text");

    public Option<string?> TextField { get; } = CommonOptions.TextField();

    public Option<string?> ChatArguments { get; } = CommonOptions.ChatArguments();

    public Option<bool> JoinRows { get; } = CommonOptions.JoinRows("--text");

    public Option<string?> Ids { get; } = Create("--ids", "FILE", "Token ids instead of text: one JSON array a line, each scored as one window.");

    public Option<string?> Perplexity { get; } = Create(
        "--perplexity", "KIND", "windows (GPTQ, LRQ), rolling (lm-eval's wikitext: whole pages, per word and byte) or llama.cpp (second halves of windows; with --reference compared where it scores) (default: windows).");

    public Option<string?> Context { get; } = Create(
        "--context", "N", "Tokens per window (default: 2048, llama.cpp 512, at most what the model has); of tasks the longest prompt (default: what the model has).");

    public Option<string?> Stride { get; } = Create("--stride", "N", "Tokens from one window's start to the next (default: the context).");

    public Option<string?> Windows { get; } = Create("--windows", "N", "Only the first N windows; of rolling the first N pages (default: all).");

    public Option<string?> Partial { get; } = Create("--partial-window", "keep|drop", "The last window when it is shorter (default: keep).");

    public Option<string?> Average { get; } = Create("--average", "windows|tokens", "What the loss is averaged over (default: windows).");

    public Option<string?> AddBos { get; } = CommonOptions.AddBos();

    public Option<string?> Tasks { get; } = Create(
        "--tasks", "LIST", $"Tasks, separated by commas: {string.Join(", ", TaskCatalog.BuiltIn.Select(task => task.Name))}, or a recipe of your own (a .json file).");

    public Option<string?> Data { get; } = Create("--data", "DIR", $"The folder with the tasks' files, or {TaskOptions.Hub}: they are fetched from the Hugging Face hub (lrq data lists them).");

    public Option<string?> Harness { get; } = Create(
        "--harness", "NAME", "Whose conventions: v0.4 (lm-eval today), v0.3 (lm-eval 0.3.0, LRQ's common-sense figures) or hendrycks (MMLU of LRQ's paper) (default: v0.4).");

    public Option<string?> Limit { get; } = Create("--limit", "N", "Only N items of each task, of each subject of mmlu (default: all).");

    public Option<string?> Offset { get; } = Create("--offset", "N", "Leave out the first N items of each task, of each subject of mmlu (default: 0).");

    public Option<string?> Shots { get; } = Create("--shots", "K", "Solved questions in front of each of mmlu's, 0 to 5 (default: 5).");

    public Option<bool> ApplyChatTemplate { get; } = new("--apply-chat-template") { Description = "Put contexts into the model's chat format, as lm-eval 0.4 does." };

    public Option<string?> Items { get; } = Create("--items", "FILE", "Write one JSON object a line for every item; an interrupted evaluation goes on from there.");

    public Option<string?> Against { get; } = Create("--against", "FILE", "Compare item by item with what --items wrote for another model.");

    public Command AddTo(Command command)
    {
        command.Arguments.Add(Model);
        Option[] options =
            [Tasks, Data, Harness, Limit, Offset, Shots, ApplyChatTemplate, Items, Against, Reference, ReferenceCache, InDepth, SwapWindows, Adapter, Products, Text, TextFormat, TextField, ChatArguments, JoinRows, Ids, Perplexity, Context, Stride, Windows, Partial, Average, AddBos];
        foreach (Option option in options) command.Options.Add(option);
        return command;
    }

    /// <summary>Reads what is measured; everything but the models.</summary>
    /// <param name="reader">The command line; collects the problems.</param>
    /// <param name="ownText">The text that the model brings, or null.</param>
    public EvalRequest Read(OptionReader reader, string? ownText)
    {
        string? text = reader.Text(Text), ids = reader.Text(Ids);
        bool tasks = reader.Text(Tasks) is not null;
        PerplexityKind kind = reader.Choice(Perplexity, PerplexityNames) ?? PerplexityKind.Windows;
        int? context = reader.Int(Context, 2), windows = reader.Int(Windows, 1), stride = reader.Int(Stride, 1);
        bool keepPartial = reader.Choice<PartialWindow>(Partial, [new("keep", PartialWindow.Keep), new("drop", PartialWindow.Drop)]) != PartialWindow.Drop;
        PerplexityAverage average = reader.Choice<PerplexityAverage>(Average, [new("windows", PerplexityAverage.Windows), new("tokens", PerplexityAverage.Tokens)])
            ?? PerplexityAverage.Windows;
        Harness harness = reader.Choice(Harness, HarnessNames.All) ?? Evaluation.Tasks.Harness.V04;
        AddBos addBos = reader.Choice(AddBos, CommonOptions.AddBosNames) ?? Quantization.Calibration.AddBos.Auto;
        if (text is null && ids is null && !tasks) text = ownText;
        bool measuresText = text is not null || ids is not null;
        if (text is not null && ids is not null) reader.Problems.Add("--text and --ids exclude each other; give one.");
        if (!measuresText && !tasks) reader.Problems.Add("--text or --ids is missing: name the file to measure on, or give --tasks.");
        if (!measuresText) reader.Refuse("is for a perplexity: name a --text or --ids too", Perplexity, Stride, Windows, Partial, Average);
        if (text is null) reader.Refuse("is for a --text", TextFormat, TextField);
        if (text is null && !reader.Flag(ApplyChatTemplate)) reader.Refuse("is for a --text, or --tasks with --apply-chat-template", ChatArguments);
        if (reader.Flag(JoinRows) && text is null) reader.Problems.Add("--join-rows is for a --text.");
        if (reader.Flag(JoinRows) && text is not null && kind != PerplexityKind.Windows)
            reader.Problems.Add($"--join-rows does not apply to --perplexity {reader.Text(Perplexity)}, which takes the text as it stands; ask for windows.");
        // Every line of ids is a window as it is.
        if (ids is not null) reader.Refuse("does not apply to --ids: every line is one window as it is", Perplexity, Context, Stride, Partial, AddBos);
        if (kind != PerplexityKind.Windows && measuresText)
            reader.Refuse($"does not apply to --perplexity {reader.Text(Perplexity)}, which says itself how windows follow each other and are averaged", Stride, Partial, Average);
        if (kind == PerplexityKind.Rolling && !tasks) reader.Refuse("does not apply to --perplexity rolling, for which no divergence is defined; ask for windows or llama.cpp", Reference);
        if (!measuresText || reader.Text(Reference) is null) reader.Refuse("keeps what a --reference says of a --text or --ids; name both", ReferenceCache);
        else if (kind == PerplexityKind.Rolling) reader.Refuse("does not apply to --perplexity rolling, for which no divergence is defined", ReferenceCache);
        else if (reader.Text(ReferenceCache) is { } cache)
        {
            if (cache.Length == 0) reader.Problems.Add("--reference-cache: is empty; name a folder.");
            else if (FolderPath.FileInTheWay(cache) is { } file) reader.Problems.Add($"--reference-cache {cache}: {file} is a file; name a folder.");
        }
        DepthOptions? depth = CommonOptions.Depth(reader, InDepth, SwapWindows);
        if (depth is not null && (!measuresText || reader.Text(Reference) is null)) reader.Problems.Add("--in-depth says where a model differs from a --reference on a --text or --ids; name both.");
        else if (depth is not null && kind == PerplexityKind.Rolling) reader.Problems.Add("--in-depth does not apply to --perplexity rolling, for which no divergence is defined.");
        if (!tasks) reader.Refuse("is for --tasks", Data, Limit, Offset, Shots, Items, Against);
        if (!tasks && reader.Flag(ApplyChatTemplate)) reader.Problems.Add("--apply-chat-template is for --tasks.");
        if (!tasks && kind != PerplexityKind.Rolling) reader.Refuse("is for --tasks and --perplexity rolling", Harness);
        if (kind == PerplexityKind.Rolling && harness == Evaluation.Tasks.Harness.Hendrycks) reader.Problems.Add("--harness hendrycks: has no rolling perplexity; ask for v0.4 or v0.3.");
        if (reader.Text(Against) is not null && reader.Text(Reference) is not null) reader.Problems.Add("--against and --reference exclude each other; give one.");
        TemplateArguments? variables = CommonOptions.ChatArguments(reader, ChatArguments);
        return new EvalRequest
        {
            Text = text,
            TextOptions = new TextSourceOptions
            {
                Format = reader.Choice(TextFormat, CommonOptions.TextFormats) ?? Quantization.Texts.TextFormat.Auto,
                TextField = reader.Text(TextField) ?? TextSourceOptions.UsualField,
                ChatArguments = text is null ? null : variables,
                FormatOption = "--text-format",
            },
            JoinRows = reader.Flag(JoinRows),
            Ids = ids,
            Perplexity = kind,
            Harness = harness,
            Windows = new TextWindowOptions { Context = context, Stride = stride, Windows = windows, KeepPartial = keepPartial },
            Average = average,
            AddBos = addBos,
            Reference = reader.Text(Reference),
            ReferenceCache = reader.Text(ReferenceCache),
            Depth = depth,
            Tasks = tasks ? new TaskOptions(this).Read(reader, harness, addBos, context, variables) : null,
        };
    }
}
