using System.CommandLine;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;
using static LowRankQuant.Cli.Options.OptionReader;
using OutputFormat = LowRankQuant.Runs.OutputFormat;

namespace LowRankQuant.Cli.Options;

/// <summary>The options of <c>lrq quantize</c>; what methods take they declare themselves.</summary>
/// <param name="catalog">The methods that there are.</param>
internal sealed class QuantizeOptions(MethodCatalog catalog)
{
    // Inputs of the blocks of Q4_0, Q5_0 and Q8_0.
    private const int GgufGroup = 32;

    public static IReadOnlyList<KeyValuePair<string, OutputFormat>> Formats { get; } =
        [new("compressed-tensors", OutputFormat.CompressedTensors), new("dense", OutputFormat.Dense)];

    /// <summary>Forms of the adapter of a result with low-rank branches.</summary>
    public static IReadOnlyList<KeyValuePair<string, AdapterForm>> AdapterForms { get; } =
        [new("lrq", LowRankQuant.Formats.Peft.AdapterForm.Codes), new("pattern", LowRankQuant.Formats.Peft.AdapterForm.Pattern), new("padded", LowRankQuant.Formats.Peft.AdapterForm.Padded)];

    public Argument<string> Model { get; } = CommonOptions.Model();

    public Option<string?> Out { get; } = Create("--out", "DIR", "The output folder. A run that was interrupted goes on there.");

    public Option<string?> Method { get; } = Create("--method", "NAME", $"{catalog.Names} (default: {catalog.Default.Name}); see lrq methods.");

    public Option<string?> Recipe { get; } = Create(
        "--recipe", "FILE|NAME", $"A recipe (YAML or JSON), the folder of a result to make again, or one that ships with lrq: {string.Join(", ", ReadyRecipes.Names)}. Options beside it count more.");

    public Option<string?> Preset { get; } = Create(
        "--preset", "NAME", "Where values that are not given come from: fast (the default) or paper (512 x 1024 tokens, 5000 iterations; hours).");

    public Option<string?> Scheme { get; } = Create(
        "--scheme", "NAME", $"Widths of weights, activations and caches by name: {NamedScheme.Names}, each perhaps with -gN for groups of N weights; other options change what it gives.");

    public Option<string?> Activations { get; } = Create(
        "--activations", "GRID", "Quantize the inputs of linears: 8:tensor (static), 8:token or 4:token, perhaps with :symmetric; fp8:token or fp8:128 beside 8-bit float weights; or off.");

    public Option<string?> ActivationRange { get; } = Create("--activation-range", "RULE", $"How static ranges of inputs are found: {RangeNames.Form} (default: minmax).");

    public Option<string[]?> PerToken { get; } = new("--per-token")
    {
        HelpName = "PATTERN",
        Description = "Linears whose input is quantized per token though the others are static, such as down_proj, or auto[:LIMIT]: those whose rounded input is further off than LIMIT of its length (default .3); commas between several.",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    public Option<string?> Cache { get; } = Create(
        "--cache", "GRID", "Quantize keys and values: 8:token, 8:token-head (dynamic), 8:tensor or 8:head (static), 4 in the place of 8, perhaps with :symmetric, or off.");

    public Option<string?> CacheRange { get; } = Create("--cache-range", "RULE", $"How static ranges of keys and values are found: {RangeNames.Form} (default: minmax).");

    public Option<string?> Keys { get; } = Create("--keys", "before|after", "Quantize keys before or after their rotation (default: before where they are dynamic, as LRQ's authors, else after, as engines store them).");

    public Option<string[]?> Transform { get; } = new("--transform")
    {
        HelpName = "NAME[:KEY=VALUE,...]",
        Description = $"Change blocks without changing what they compute before they are quantized: {string.Join("; ", catalog.Transforms.Select(transform => $"{transform.Name} ({transform.Summary}; {string.Join(", ", transform.Options.Select(option => option.Key))})"))}; may be repeated, in order; none for not even the scheme's.",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    public Option<string?> Bits { get; } = Create("--bits", "N", "Bits per weight, 2 to 8 (default: 4).");

    public Option<string?> Grid { get; } = Create(
        "--grid", "NAME", $"A grid of two levels, as llama.cpp's blocks have, of floats, as GPUs multiply them, or with float minima: {NamedGrids.Names}; decides bits, groups and symmetry.");

    public Option<string[]?> Layers { get; } = new("--layers")
    {
        HelpName = "PATTERN=GRID",
        Description = "A grid of their own for layers whose path the pattern matches (down_proj, layers.0.*, re:layers\\.(0|31)\\.): a grid with a name, or BITS[:GROUP][:symmetric|asymmetric|affine], such as down_proj=q4_k; or keep: they stay in their own type, as routers and small gates do unless a pattern ends with their name in full. Commas between several, the last that matches counts.",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    public Option<string?> Embedding { get; } = Create(
        "--embedding", "BITS", "Quantize the input embedding: 8 or 4 bits on grids of the run's kind, or off (the default). Of a model whose output head is its embedding the one matrix is quantized.");

    public Option<string?> Head { get; } = Create(
        "--head", "BITS", "Quantize the output head: 8, 4, or off (the default); methods that see calibration text fit it to the inputs it gets behind the quantized blocks.");

    public Option<string?> Target { get; } = Create(
        "--target", "NAME", $"Obey the rules of an engine or container, so that an export loses nothing: {Choices.List(TargetNames.Targets)}.");

    public Option<string?> To { get; } = Create(
        "--to", "FORMAT", $"Also write the result for another engine, into --out: {Choices.List(ResultContainers.All)} (gguf: OUT/MODEL.gguf). The run obeys the rules of that engine (--target). Where no grid is named, gguf has symmetric groups of 32 at 4, 5 and 8 bits, which fill its blocks, and else the nearest that the container holds is taken.");

    public Option<string?> OnMisfit { get; } = Create(
        "--on-misfit", "HOW", "Layers that the target cannot hold: refuse (the default), or nearest: use the nearest grid that fits and say so.");

    public Option<string?> TensorParallel { get; } = Create("--tensor-parallel", "N", "Shards into which vLLM will cut the model (default: 1).");

    public Option<string?> GroupSize { get; } = Create(
        "--group-size", "N", "Weights of a row that share a scale, or channel (a whole row), or tensor (a whole matrix; rtn only) (default: channel).");

    public Option<bool?> Symmetric { get; } = new("--symmetric") { HelpName = "true|false", Description = "A grid without zero points (default: false)." };

    public Option<string?> Zeros { get; } = Create(
        "--zeros", "float|integer", "What groups store beside their scale: a float minimum, which MLX and llama.cpp's Q4_1 and Q5_1 hold, or an integer zero point, which most do (default: integer).");

    public MethodOptionSet OfMethods { get; } = new(catalog);

    public Option<string?> AdapterForm { get; } = Create(
        "--adapter-form", "lrq|pattern|padded",
        "How branches are written: lrq's own file in the bits that are counted, or a PEFT folder in floats, ranks by module or padded to one (default: lrq; see export).");

    public Option<string?> TuneSteps { get; } = Create(
        "--tune-steps", "N",
        "Steps that tune scales and branches of the whole model once its blocks are done, until its distributions are closest to the original's; uniform grids only (default: with held-out windows to judge by 64 for lrq+ and, below 3 bits, flrq+; else 0).");

    public Option<string?> TuneRate { get; } = Create("--tune-rate", "X", "First learning rate of --tune-steps, relative to what is learned (default: 0.004 at 2 bits, 0.002 at 3, else 0.001).");

    public Option<string?> TuneCodeRate { get; } = Create(
        "--tune-code-rate", "X", "First learning rate of codes in --tune-steps, in steps of the grid, such as 0.007 for 256 steps; 0: codes stay as the method chose them (default: 0.1/sqrt(steps) for lrq+, else 0).");

    public Option<string?> TuneBatch { get; } = Create("--tune-batch", "N", "Windows per step of --tune-steps (default: 4).");

    public Option<string?> TuneSamples { get; } = Create("--tune-samples", "N", "Most calibration windows of --tune-steps: those of the method, and more where the text has them (default: 256).");

    public Option<string?> Samples { get; } = Create("--samples", "N", "Calibration windows to learn from (default: by preset).");

    public Option<string?> SequenceLength { get; } = Create("--sequence-length", "N", "Tokens per calibration window (default: by preset, at most what the model has).");

    public Option<string?> ScaleType { get; } = Create(
        "--scale-dtype", "TYPE", $"Stored type of scales: {Choices.List(GridNames.ScaleTypes)} (default: the source's; fp16 for GGUF).");

    public Option<string?> HeldOut { get; } = Create("--held-out", "N", "Calibration windows kept aside to measure on (default: by preset).");

    public Option<string?> Seed { get; } = Create("--seed", "N", "Seed of everything random (default: 42).");

    public Option<string[]?> Calibration { get; } = new("--calibration")
    {
        HelpName = "TEXT",
        Description = "Calibration text: txt, csv, json, jsonl, parquet (texts or conversations), these as .gz or .zst, or token ids; a file, a folder, a pattern, on the hub (hf://datasets/ORG/NAME/FILE), or a data set by name (lrq data lists them); may be repeated, each perhaps with a weight (a.txt=0.7). 'self' samples from the model.",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    public Option<string?> CalibrationFormat { get; } = CommonOptions.FormatOfText("--calibration-format", "every calibration file");

    public Option<string?> TextField { get; } = CommonOptions.TextField();

    public Option<string?> AddBos { get; } = CommonOptions.AddBos();

    public Option<string?> ChatArguments { get; } = CommonOptions.ChatArguments();

    public Option<bool> AssistantOnly { get; } = new("--assistant-only")
    {
        Description = "Learn from the assistant's part of conversations alone: the other tokens are read, and take no part in losses and statistics.",
    };

    public Option<string?> EvalText { get; } = Create(
        "--eval-text", "FILE", "Text to measure original, round-to-nearest and result on: what --calibration takes, or wikitext2 or c4 as papers measure on them (default: the held-out calibration windows).");

    public Option<string?> EvalTextFormat { get; } = CommonOptions.FormatOfText("--eval-text-format", "that text");

    public Option<bool> JoinRows { get; } = CommonOptions.JoinRows("--eval-text");

    public Option<string?> EvalWindows { get; } = Create("--eval-windows", "N", "Measure on the first N windows of that text (default: all).");

    public Option<string?> EvalContext { get; } = Create("--eval-context", "N", "Tokens per window of that text (default: 2048, at most what the model has).");

    public Option<bool> InDepth { get; } = CommonOptions.InDepth("the result");

    public Option<string?> SwapWindows { get; } = CommonOptions.SwapWindows();

    public Option<string?> Format { get; } = Create("--format", "KIND", $"{Choices.List(Formats)} (plain floats) (default: compressed-tensors).");

    public Option<string?> ShardSize { get; } = Create("--shard-size", "SIZE", "Largest file of tensors (default: 5 GB).");

    public Option<string?> Threads { get; } = CommonOptions.Threads();

    public Option<string?> Memory { get; } = CommonOptions.Memory();

    public Option<string?> Kernels { get; } = CommonOptions.Kernels();

    public Option<string?> Precision { get; } = Create(
        "--precision", "TYPE", "What products of linears are rounded to while blocks are run and learned: fp32, or bf16, faster with --kernels onednn on processors that have it; sums, steps and everything stored and measured stay fp32 (default: fp32).");

    public Option<string?> Blocks { get; } = Create("--blocks", "N", "Only the first N blocks, to measure time and memory; no result is written.");

    public Option<string?> RedoBlocks { get; } = Create(
        "--redo-blocks", "LIST", "Do these blocks of the finished run in --out again (7,9 or 12-15), with a method, its options, a seed or grids of their own where given, and what follows from them.");

    public Option<bool> Overwrite { get; } = new("--overwrite") { Description = "Delete what another run left in the output folder." };

    public Option<bool> Json { get; } = CommonOptions.Json();

    // What everybody needs first; help shows the others when it is asked for all.
    private IEnumerable<Option> NeededFirst => [Out, Recipe, Scheme, Method, Bits, GroupSize, Symmetric, Grid, To, Target, Calibration, EvalText, EvalWindows, InDepth, Preset, Samples, Memory, Threads, Overwrite, Json];

    private IEnumerable<Option> More =>
    [
        Activations, ActivationRange, PerToken, Cache, CacheRange, Keys, Transform, Zeros, Layers, Embedding, Head, OnMisfit, TensorParallel, ScaleType, HeldOut, SequenceLength, Seed, CalibrationFormat, TextField, AddBos, ChatArguments, AssistantOnly, EvalTextFormat, JoinRows, EvalContext, SwapWindows,
        TuneSteps, TuneRate, TuneCodeRate, TuneBatch, TuneSamples, Format, AdapterForm, ShardSize, Kernels, Precision, Blocks, RedoBlocks,
    ];

    public Command AddTo(Command command)
    {
        command.Arguments.Add(Model);
        foreach (Option option in NeededFirst) command.Options.Add(option);
        foreach (Option option in More)
        {
            option.Hidden = true;
            command.Options.Add(option);
        }
        foreach (Option option in OfMethods.All) command.Options.Add(option);
        return command;
    }

    /// <summary>The part of the request that makes the recipe.</summary>
    /// <param name="reader">The command line.</param>
    /// <param name="basis">What a recipe file asks for, where the command line says nothing.</param>
    public RecipeRequest ReadRequest(OptionReader reader, RecipeRequest basis)
    {
        (Granularity? granularity, int? groupSize) = ReadGroup(reader);
        string? method = reader.Text(Method);
        // Options of another method say nothing about this one.
        bool same = method is null || string.Equals(method, basis.Method ?? catalog.Default.Name, StringComparison.OrdinalIgnoreCase);
        var options = new Dictionary<string, string>(same ? basis.Options : new Dictionary<string, string>(), StringComparer.Ordinal);
        foreach ((string key, string text) in OfMethods.Read(reader)) options[key] = text;
        return Held(reader, basis with
        {
            Preset = reader.Text(Preset) ?? basis.Preset,
            Method = method ?? basis.Method,
            Options = options,
            Scheme = reader.Text(Scheme) ?? basis.Scheme,
            Activations = reader.Text(Activations) ?? basis.Activations,
            ActivationRange = reader.Text(ActivationRange) ?? basis.ActivationRange,
            PerToken = [.. basis.PerToken, .. reader.Texts(PerToken).SelectMany(text => text.StartsWith("re:", StringComparison.Ordinal) ? [text] : text.Split(','))],
            Cache = reader.Text(Cache) ?? basis.Cache,
            CacheRange = reader.Text(CacheRange) ?? basis.CacheRange,
            KeysBeforeRotation = ReadKeys(reader) ?? basis.KeysBeforeRotation,
            Transforms = ReadTransforms(reader) ?? basis.Transforms,
            Grid = reader.Text(Grid) ?? basis.Grid,
            Embedding = reader.Text(Embedding) ?? basis.Embedding,
            Head = reader.Text(Head) ?? basis.Head,
            LayerRules = [.. basis.LayerRules, .. reader.Texts(Layers).SelectMany(text => text.StartsWith("re:", StringComparison.Ordinal) ? [text] : text.Split(',')).Select(LayerRule.Of)],
            Target = reader.Choice(Target, TargetNames.Targets) ?? basis.Target,
            OnMisfit = reader.Choice(OnMisfit, TargetNames.MisfitRules) ?? basis.OnMisfit,
            TensorParallel = reader.Int(TensorParallel) ?? basis.TensorParallel,
            Bits = reader.Int(Bits) ?? basis.Bits,
            Granularity = granularity ?? basis.Granularity,
            GroupSize = granularity is null ? basis.GroupSize : groupSize,
            Symmetric = reader.Flag(Symmetric) ?? basis.Symmetric,
            Zeros = reader.Choice(Zeros, GridNames.Zeros) ?? basis.Zeros,
            ScaleType = reader.Choice(ScaleType, GridNames.ScaleTypes) ?? basis.ScaleType,
            Precision = reader.Choice(Precision, PrecisionNames.All) ?? basis.Precision,
            Seed = reader.UnsignedLong(Seed) ?? basis.Seed,
            Samples = reader.Int(Samples) ?? basis.Samples,
            HeldOut = reader.Int(HeldOut) ?? basis.HeldOut,
            SequenceLength = reader.Int(SequenceLength) ?? basis.SequenceLength,
            TuneSteps = reader.Int(TuneSteps) ?? basis.TuneSteps,
            TuneRate = reader.Double(TuneRate) ?? basis.TuneRate,
            TuneCodeRate = reader.Double(TuneCodeRate) ?? basis.TuneCodeRate,
            TuneBatch = reader.Int(TuneBatch) ?? basis.TuneBatch,
            TuneSamples = reader.Int(TuneSamples) ?? basis.TuneSamples,
        });
    }

    // A container is written exactly, so that the run obeys its rules; a grid that somebody named is not exchanged for another. Where nobody did, blocks that are filled take no more bytes
    // than those that repeat the scale of a row.
    private RecipeRequest Held(OptionReader reader, RecipeRequest request)
    {
        // Blocks that are done again have the grids of their run, whatever is written of it.
        if (reader.Choice(To, ResultContainers.All) is not { } engine || reader.Text(RedoBlocks) is not null) return request;
        if (request.Target is { } other && other != engine)
        {
            reader.Problems.Add($"{To.Name} {reader.Text(To)}: {Target.Name} {TargetNames.Of(other)} has other rules; leave one of them out.");
            return request;
        }
        if (request is not { Scheme: null, Grid: null, Granularity: null, Symmetric: null, Zeros: null, LayerRules: [] }) return request with { Target = engine };
        request = request with { Target = engine, OnMisfit = request.OnMisfit ?? MisfitRule.Nearest };
        QuantizationMethod method = RecipeResolver.MethodOf(catalog, request);
        bool fills = engine == LowRankQuant.Quantization.Targets.Target.LlamaCpp && (request.Bits ?? RecipeResolver.UsualBits) is 4 or 5 or 8
            && method.Budget(new OptionValues(request.Options, method.Options, [])) is null;
        return fills ? request with { Granularity = Granularity.Group, GroupSize = GgufGroup, Symmetric = true } : request;
    }

    private bool? ReadKeys(OptionReader reader)
    {
        switch (reader.Text(Keys))
        {
            case null:
                return null;
            case RecipeFile.BeforeRotation:
                return true;
            case RecipeFile.BehindRotation:
                return false;
            case var text:
                reader.Problems.Add($"{Keys.Name} {text}: must be {RecipeFile.BeforeRotation} or {RecipeFile.BehindRotation}.");
                return null;
        }
    }

    // NAME, or NAME:KEY=VALUE,KEY=VALUE.
    private List<TransformStage>? ReadTransforms(OptionReader reader)
    {
        IReadOnlyList<string> texts = reader.Texts(Transform);
        if (texts.Count == 0) return null;
        if (texts is [TransformStage.None]) return [];
        var stages = new List<TransformStage>();
        foreach (string text in texts)
        {
            string[] parts = text.Split(':', 2);
            var options = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (string pair in parts.Length == 1 ? [] : parts[1].Split(','))
            {
                if (pair.Split('=', 2) is not [{ Length: > 0 } key, { Length: > 0 } value] || !options.TryAdd(key.Replace('-', '_'), value))
                    reader.Problems.Add($"{Transform.Name} {text}: give NAME, or NAME:KEY=VALUE,KEY=VALUE with each key once.");
            }
            stages.Add(new TransformStage(parts[0], options));
        }
        return stages;
    }

    private (Granularity? Granularity, int? Size) ReadGroup(OptionReader reader) => reader.Text(GroupSize)?.ToLowerInvariant() switch
    {
        null => (null, null),
        "channel" => (Granularity.Channel, null),
        "tensor" => (Granularity.Tensor, null),
        _ => reader.Int(GroupSize) is { } size ? (Granularity.Group, size) : (null, null),
    };
}
