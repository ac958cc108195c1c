using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Methods.Rtn;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Vocabulary;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What a run needs in memory, estimated before it starts, and what remains for activations.</summary>
/// <param name="FixedBytes">Largest sum of weights, parameters and temporary tensors at any time.</param>
/// <param name="ActivationBytes">What the activation streams may take; the rest goes to disk.</param>
/// <param name="StreamBytes">What the activation streams take in all.</param>
public sealed record MemoryPlan(long FixedBytes, long ActivationBytes, long StreamBytes)
{
    // The runtime, code, tokenizer and buffers of files.
    private const long ProcessBytes = 300L << 20;

    /// <summary>Which weights stay in their files until they are computed with, as a block would not fit whole.</summary>
    public WeightPaging Paging { get; init; }

    /// <summary>What statistics of inputs may take together; 0 where none are taken.</summary>
    public long StatisticsBytes { get; init; }

    /// <summary>The part of it that is not in <see cref="FixedBytes"/>.</summary>
    public long StatisticsBeside { get; init; }

    /// <summary>What blocks that tuning keeps from the forward pass of a step to its backward pass take of <see cref="ActivationBytes"/>; 0 where nothing is tuned.</summary>
    public long KeptBytes { get; init; }

    /// <summary>Plans a run.</summary>
    /// <param name="config">Sizes of the model.</param>
    /// <param name="layout">Its linears.</param>
    /// <param name="recipe">What is done.</param>
    /// <param name="memory">The user's budget in bytes; null for three quarters of what the machine offers.</param>
    /// <exception cref="OutOfBudgetException">The budget does not even hold one block's work.</exception>
    public static MemoryPlan For(DecoderConfig config, ModelLayout layout, Recipe recipe, long? memory)
    {
        MemoryPlan[] plans = [.. recipe.Methods.Distinct().Select(method => ForMethod(config, layout, recipe with { Method = method }, memory))];
        return new MemoryPlan(plans.Max(plan => plan.FixedBytes), plans.Min(plan => plan.ActivationBytes), plans.Max(plan => plan.StreamBytes))
        {
            Paging = plans.Max(plan => plan.Paging),
            StatisticsBytes = plans.Max(plan => plan.StatisticsBytes),
            StatisticsBeside = plans.Max(plan => plan.StatisticsBeside),
            KeptBytes = plans.Max(plan => plan.KeptBytes),
        };
    }

    // Of a run whose blocks all go by one method.
    private static MemoryPlan ForMethod(DecoderConfig config, ModelLayout layout, Recipe recipe, long? memory)
    {
        var block = new BlockMemory(config, layout, recipe);
        IBlockMethod method = recipe.Method.Create();
        bool calibrates = recipe.LooksAtText;
        long embedding = Math.Max((long)config.VocabularySize * config.HiddenSize * 4, Vocabulary(layout, recipe, calibrates));
        WeightPaging paging = WeightPaging.None;
        long fixedBytes = ProcessBytes + Math.Max(block.Whole(), embedding);
        long streams = calibrates ? (method.NeedsFullPrecisionInput ? 3L : 2L) * (recipe.Samples + recipe.HeldOut) * recipe.SequenceLength * config.HiddenSize * 4 : 0;
        long kept = 0, budget = memory ?? (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 * 3);
        if (recipe.Tuning is { } tuning)
        {
            TuningMemory needs = TuningMemory.For(config, layout, recipe, tuning);
            if (needs.Parameters > Array.MaxLength)
                throw new OutOfBudgetException($"Tuning would learn {needs.Parameters} numbers at once, and {Array.MaxLength} are the most; `tune.code_rate` 0 leaves codes as they are.");
            long whole = ProcessBytes + needs.FixedBytes;
            if (whole > budget && fixedBytes <= budget)
                throw new OutOfBudgetException($"Tuning the whole model needs about {Text(whole)} and the memory budget is {Text(budget)}; give more with `memory`, {(tuning.CodeRate is > 0 ? "leave codes as they are with `tune.code_rate` 0, " : "")}or leave it out with `tune.steps` 0.");
            fixedBytes = Math.Max(fixedBytes, whole);
            streams = Math.Max(streams, needs.StreamBytes);
            kept = needs.KeptBytes;
        }
        while (fixedBytes + block.ExpertStatistics() > budget && block.WholeOnly is null && paging < WeightPaging.Linears)
        {
            paging = paging == WeightPaging.None && block.HasExperts ? WeightPaging.Experts : WeightPaging.Linears;
            fixedBytes = Math.Min(fixedBytes, ProcessBytes + Math.Max(block.Paged(paging), embedding));
        }
        long experts = block.ExpertStatistics(), rest = budget - fixedBytes;
        if (experts > rest) throw new OutOfBudgetException(Shortage(config, layout, recipe, fixedBytes + experts, paging, budget));
        if (experts > 0) experts = Math.Max(experts, Math.Min(rest / 2, ExpertPool.MostBytes));
        // Of inputs that all tokens share, those of one site are part of the block's work.
        long more = block.HasExperts ? 0 : Math.Min((rest - experts) / 2, block.AllStatistics() - block.LeastStatistics());
        return new MemoryPlan(fixedBytes, rest - experts - more, streams)
        {
            Paging = paging,
            StatisticsBytes = Math.Max(experts, block.LeastStatistics() + more),
            StatisticsBeside = experts + more,
            KeptBytes = Math.Clamp(rest - experts - more - streams, 0, kept),
        };
    }

    // Embedding or head while it is quantized: floats twice (as it was, as it is read back), codes; and some rows of a head in double precision.
    private static long Vocabulary(ModelLayout layout, Recipe recipe, bool looksAtInputs)
    {
        if (recipe.Vocabulary is not { } vocabulary || layout.Vocabulary is not { } shape) return 0;
        long weights = (long)shape.Rows * shape.Width, rows = Math.Min(shape.Rows, HeadRounding.RowsAtOnce);
        long fit = looksAtInputs && vocabulary.Head is not null ? recipe.Method.FitMemory.BytesOf(rows, shape.Width) : 0;
        return (((2 * sizeof(float)) + 2) * weights) + fit;
    }

    /// <summary>One line for people.</summary>
    public string Describe()
    {
        string block = $"memory: about {Text(FixedBytes)} {(Paging != WeightPaging.None ? $"for a block, {PagingNames.Of(Paging)}" : StreamBytes == 0 ? "at most" : "for a block")}";
        string statistics = (StatisticsBeside == 0 ? "" : $", {Text(StatisticsBeside)} for more statistics of inputs") + (KeptBytes == 0 ? "" : $", {Text(KeptBytes)} for blocks that tuning keeps in memory");
        if (StreamBytes == 0) return block + statistics;
        return $"{block}{statistics}, {Text(StreamBytes)} of activations {(StreamBytes <= ActivationBytes ? "in memory" : $"of which {Text(ActivationBytes)} in memory, the rest on disk")}";
    }

    // What is needed, why a block is not taken apart, and what would do.
    private static string Shortage(DecoderConfig config, ModelLayout layout, Recipe recipe, long needed, WeightPaging paging, long budget)
    {
        var block = new BlockMemory(config, layout, recipe);
        if (block.WholeOnly is not { } reason)
            return $"One block needs about {Text(needed)}, {PagingNames.Of(paging)}, and the memory budget is {Text(budget)}; give more with `memory`, or use a smaller `batch` or `sequence_length`.";
        string parts = block.HasExperts ? "experts" : "linears", method = recipe.Method.Method;
        var rounding = new BlockMemory(config, layout, recipe with { Method = RtnMethod.Plain, Tuning = null });
        long embedding = Math.Max((long)config.VocabularySize * config.HiddenSize * 4, Vocabulary(layout, recipe, looksAtInputs: false));
        long least = ProcessBytes + Math.Max(rounding.Paged(block.HasExperts ? WeightPaging.Experts : WeightPaging.Linears), embedding);
        string way = block.HasExperts ? "expert by expert" : "linear by linear";
        string fits = least <= budget ? $"methods that go {way} are rtn, which needs about {Text(least)}, and flrq and its peers ('lrq plan `method` flrq' says what they need)" : $"rtn, which goes {way}, would need {Text(least)}";
        string smaller = block.HasExperts ? "" : ", or use a smaller `batch`, `sequence_length` or `rank`";
        return $"One block needs about {Text(needed)} and the memory budget is {Text(budget)}; {method} {reason}, so its {parts} cannot be taken one by one. Give more with `memory`{smaller}; {fits}.";
    }

    private static string Text(long bytes) => bytes >= 1 << 30
        ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 30):F1} GiB")
        : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 20):F0} MiB");
}
