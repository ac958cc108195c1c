using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Models;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs;

/// <summary>A quantization run, resolved and checked.</summary>
public sealed record QuantizeJob
{
    /// <summary>The model; stays the caller's.</summary>
    public required CausalModel Model { get; init; }

    /// <summary>What decides the bytes of the result.</summary>
    public required Recipe Recipe { get; init; }

    /// <summary>The output folder.</summary>
    public required string Output { get; init; }

    /// <summary>Delete what another run left in the output folder.</summary>
    public bool Overwrite { get; init; }

    /// <summary>Where calibration windows come from; null when the method needs none and none were given.</summary>
    public CalibrationOptions? Calibration { get; init; }

    /// <summary>Text to measure on; null for the held-out calibration windows.</summary>
    public string? EvaluationText { get; init; }

    /// <summary>What the text to measure on holds, and in which field.</summary>
    public TextSourceOptions EvaluationTextOptions { get; init; } = new() { FormatOption = "`eval_text_format`" };

    /// <summary>Whether the rows of the text to measure on are joined by blank lines, as papers do with WikiText-2.</summary>
    public bool JoinRows { get; init; }

    /// <summary>Measure on the first so many windows of the text; null for all.</summary>
    public int? EvaluationWindows { get; init; }

    /// <summary>Tokens of a window of that text; null for the usual number.</summary>
    public int? EvaluationContext { get; init; }

    /// <summary>Whether round to nearest of the same recipe is measured beside the result.</summary>
    public bool MeasuresRounded { get; init; } = true;

    /// <summary>What a report in depth of the result looks at beside the means; null for none.</summary>
    public DepthOptions? Depth { get; init; }

    /// <summary>What to write.</summary>
    public OutputFormat Format { get; init; }

    /// <summary>Whether the begin-of-text token stands in front of the evaluation text.</summary>
    public AddBos AddBos { get; init; }

    /// <summary>How low-rank branches are written; null when nothing was said, which means lrq's own file.</summary>
    public AdapterForm? AdapterForm { get; init; }

    /// <summary>Largest file of tensors, bytes.</summary>
    public long ShardBytes { get; init; }

    /// <summary>Memory the run may take, bytes; null for what the machine has.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>Whether the model comes with a tokenizer that the run could use: of a model that cannot be run nothing is measured, and none is read.</summary>
    internal bool HasTokenizer => Model.Architecture.Unknown is null && Model.Checkpoint.HasTokenizer;

    /// <summary>Only so many blocks, for measuring: nothing is written beside the run's own files; null for all.</summary>
    public int? Blocks { get; init; }

    /// <summary>Blocks of a finished run that are done again; null for a run from its beginning.</summary>
    public RedoneBlocks? Redo { get; init; }

    /// <summary>The source as its user named it; null for where it lies.</summary>
    public string? SourceName { get; init; }

    /// <summary>The source's name on the Hugging Face hub; null where that is not known.</summary>
    public string? BaseModel { get; init; }

    /// <summary>How keys of recipes in backticks are spelled for who reads the pages; null to leave them as they are.</summary>
    public Func<string, string>? Spell { get; init; }

    /// <summary>The texts of the recipe, as its file keeps them.</summary>
    public RecipeTexts Texts { get; init; } = new();

    /// <summary>What it asks to be measured on.</summary>
    /// <exception cref="EvaluationException">There is no such text.</exception>
    internal MeasuredText Measured()
    {
        if (EvaluationText is not { } file) return new MeasuredText(null, null, AddBos.Auto) { InDepth = Depth is not null, SwapWindows = Depth?.SwapWindows };
        IReadOnlyList<string> files = EvaluationTextOptions.Files ?? TextFiles.Of(file);
        if (files.Count == 1 && !File.Exists(files[0])) throw new EvaluationException($"'{file}' is not a file; name a text to measure on.");
        return new MeasuredText(TextFiles.HashOf(files), EvaluationWindows, AddBos)
        {
            Format = EvaluationTextOptions.Format,
            TextField = EvaluationTextOptions.TextField,
            JoinRows = JoinRows,
            Join = EvaluationTextOptions.Join,
            MostRows = EvaluationTextOptions.MostRows,
            ChatArguments = EvaluationTextOptions.ChatArguments?.Text,
            Context = EvaluationContext,
            InDepth = Depth is not null,
            SwapWindows = Depth?.SwapWindows,
        };
    }
}

/// <summary>Blocks of a finished run that are done again.</summary>
/// <param name="Blocks">Their numbers, rising.</param>
/// <param name="Before">The recipe that the run was finished with.</param>
public sealed record RedoneBlocks(IReadOnlyList<int> Blocks, Recipe Before);
