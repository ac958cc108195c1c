using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Pipeline.Budget;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>How recipes spell their choices: on the command line, in messages and in reports.</summary>
public static class RecipeNames
{
    /// <summary>All methods.</summary>
    public static IReadOnlyList<KeyValuePair<string, QuantizationMethod>> Methods { get; } =
    [
        new("rtn", QuantizationMethod.Rtn),
        new("flexround", QuantizationMethod.FlexRound),
        new("lrq", QuantizationMethod.Lrq),
        new("lrq-hybrid", QuantizationMethod.LrqHybrid),
        new("flrq", QuantizationMethod.Flrq),
        new("flrq+", QuantizationMethod.FlrqPlus),
        new("svd", QuantizationMethod.Svd),
        new("lqer", QuantizationMethod.Lqer),
        new("l2qer", QuantizationMethod.L2qer),
        new("qera-approx", QuantizationMethod.QeraApprox),
        new("qera-exact", QuantizationMethod.QeraExact),
    ];

    /// <summary>All presets, the default first.</summary>
    public static IReadOnlyList<string> Presets { get; } = [Pipeline.Presets.Fast, Pipeline.Presets.Paper];

    /// <summary>Ways to find the first grid.</summary>
    public static IReadOnlyList<KeyValuePair<string, GridStart>> Starts { get; } = [new("minmax", GridStart.MinMax), new("search", GridStart.Search)];

    /// <summary>Stored types of scales.</summary>
    public static IReadOnlyList<KeyValuePair<string, ScaleType>> ScaleTypes { get; } =
        [new("fp16", ScaleType.Float16), new("bf16", ScaleType.BFloat16), new("fp32", ScaleType.Float32)];

    /// <summary>Weightings of tokens in the loss.</summary>
    public static IReadOnlyList<KeyValuePair<string, LossWeighting>> Losses { get; } =
        [new("plain", LossWeighting.Plain), new("relative", LossWeighting.Relative)];

    /// <summary>Ways to decide the rank of a branch.</summary>
    public static IReadOnlyList<KeyValuePair<string, RankRule>> RankRules { get; } =
        [new("r1-flr", RankRule.R1Flr), new("predicted-noise", RankRule.PredictedNoise), new("fixed", RankRule.Fixed), new("cap", RankRule.Cap)];

    /// <summary>How many terms a sketch finds at once.</summary>
    public static IReadOnlyList<KeyValuePair<string, SketchForm>> Sketches { get; } = [new("rank1", SketchForm.RankOne), new("block", SketchForm.Block)];

    /// <summary>Whether a budget may change widths.</summary>
    public static IReadOnlyList<KeyValuePair<string, BudgetWidths>> Widths { get; } = [new("mixed", BudgetWidths.Mixed), new("fixed", BudgetWidths.Fixed)];

    /// <summary>Who has the last word on the codes beside a branch.</summary>
    public static IReadOnlyList<KeyValuePair<string, ResidualRounding>> Residuals { get; } = [new("fitted", ResidualRounding.Fitted), new("lrq", ResidualRounding.Lrq)];

    /// <summary>The spelling of a value.</summary>
    public static string Of<T>(IReadOnlyList<KeyValuePair<string, T>> names, T value)
        where T : struct, Enum
    {
        foreach ((string name, T known) in names)
        {
            if (EqualityComparer<T>.Default.Equals(known, value)) return name;
        }
        throw new ArgumentOutOfRangeException(nameof(value), value, "The value has no name.");
    }

    /// <summary>The value of a spelling; null when there is none.</summary>
    public static T? Parse<T>(IReadOnlyList<KeyValuePair<string, T>> names, string text)
        where T : struct, Enum
    {
        foreach ((string name, T value) in names)
        {
            if (name.Equals(text, StringComparison.OrdinalIgnoreCase)) return value;
        }
        return null;
    }

    /// <summary>All spellings, for messages: <c>a, b, c</c>.</summary>
    public static string List<T>(IReadOnlyList<KeyValuePair<string, T>> names) => string.Join(", ", names.Select(pair => pair.Key));
}
