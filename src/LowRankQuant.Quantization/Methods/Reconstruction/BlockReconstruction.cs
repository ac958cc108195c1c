using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// Learns the rounding of all linears of a block together, from wherever each begins, and, where asked for, their low-rank branches: the slots get
/// learned weights, <see cref="TrainingSession"/> trains them, and the slots get their own weights back.
/// </summary>
/// <param name="options">How to train.</param>
/// <param name="form">What is learned of a weight.</param>
internal sealed class BlockReconstruction(TrainingSettings options, IRoundingForm form)
{
    // A rate that diverges is divided by this when the block starts again.
    private const double RateCut = 4;

    /// <summary>With scales within the rounding.</summary>
    /// <param name="options">How to train.</param>
    /// <param name="shapeFor">The form of D for a weight of (outFeatures, inFeatures).</param>
    /// <param name="trainBranches">Whether the factors of branches are learned too.</param>
    public BlockReconstruction(TrainingSettings options, Func<int, int, ScaleShape> shapeFor, bool trainBranches)
        : this(options, new ScaledRounding((outFeatures, inFeatures) => new RoundingParts(shapeFor(outFeatures, inFeatures)) { TrainsBranch = trainBranches }))
    {
    }

    /// <summary>Whether it learns on the block's input in the full-precision model.</summary>
    public bool NeedsFullPrecisionInput => options.FullPrecisionInputs;

    /// <summary>Trains a block.</summary>
    /// <param name="context">The block, with its weights in full precision in the slots, and its streams.</param>
    /// <param name="starts">One per slot.</param>
    /// <param name="fallback">What the result is when every training diverges, for the warning.</param>
    public QuantizedBlock Solve(BlockContext context, IReadOnlyList<LayerStart> starts, string fallback)
    {
        BlockStreams streams = context.Streams ?? throw new ArgumentException("Block reconstruction needs calibration streams.", nameof(context));
        IReadOnlyList<LinearSlot> slots = context.Block.Slots;
        long count = slots.Select((slot, i) => form.ParameterCount(slot.OutFeatures, slot.InFeatures, starts[i].Grid, starts[i].Branch)).Sum();
        using LearnedSteps? steps = options is { Inside: true, LearnSteps: true } && context.Quantizers is { } quantizers ? new LearnedSteps(quantizers) : null;
        using var arena = new ParameterArena(context.Device, count + (steps?.Count ?? 0), (slots.Count * form.MostParameters) + (steps?.Count ?? 0));
        var learned = new ILearnedRounding[slots.Count];
        for (int i = 0; i < learned.Length; i++)
            learned[i] = form.Create(slots[i], starts[i], context.SchemeOf(slots[i]), arena, Seeds.Factor(context.Seed, context.Block.Index, i));
        steps?.Take(arena);
        var dense = new IWeightSource[slots.Count];
        for (int i = 0; i < dense.Length; i++) dense[i] = slots[i].Exchange(learned[i]);
        if (options.Inside) context.Quantizers?.Install();
        steps?.Install();
        try
        {
            using var trainer = new BlockTrainer(context.Block, streams, arena, options, options.Loss == LossWeighting.Fisher ? Metric(context) : null);
            var session = new TrainingSession(
                context, options, trainer, arena, streams,
                softness =>
                {
                    foreach (ILearnedRounding rounding in learned) rounding.Softness = softness;
                });
            QuantizedBlock result = session.Run(RateCut, fallback);
            steps?.Keep(context.Scheme.ScaleType);
            return result with { Weights = [.. learned.Select(rounding => rounding.ToQuantizedWeight())] };
        }
        finally
        {
            context.Quantizers?.Remove();
            for (int i = 0; i < dense.Length; i++) slots[i].Exchange(dense[i]);
            foreach (ILearnedRounding rounding in learned) rounding.Dispose();
        }
    }

    private static float[] Metric(BlockContext context) =>
        context.Plan?.OutputMetric(context.Block.Index) ?? throw new ArgumentException("A loss in what the model feels needs a plan that has measured it.", nameof(context));
}

/// <summary>Seeds of the generators of a run, one per purpose, block and linear.</summary>
internal static class Seeds
{
    private const ulong FactorPath = 0x5532, OrderPath = 0x4F52444552;

    /// <summary>Seed of U2 of linear <paramref name="linear"/> (slot order) of a block.</summary>
    public static ulong Factor(ulong run, int block, int linear) => SeededRandom.Derive(run, FactorPath, (ulong)block, (ulong)linear).NextUInt64();

    /// <summary>Seed of the order of windows in a block.</summary>
    public static ulong Order(ulong run, int block) => SeededRandom.Derive(run, OrderPath, (ulong)block).NextUInt64();
}
