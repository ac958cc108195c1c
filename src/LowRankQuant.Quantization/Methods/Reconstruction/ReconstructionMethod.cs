using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// Learned rounding by block reconstruction: LRQ (low-rank D), FlexRound (full D), or the per-layer mixture of LRQ's released code. The three differ only
/// in the <see cref="ScaleShape"/> that each weight gets.
/// </summary>
/// <param name="name">Name for reports.</param>
/// <param name="options">How to train.</param>
/// <param name="shapeFor">The form of D for a weight of (outFeatures, inFeatures).</param>
public sealed class ReconstructionMethod(string name, ReconstructionOptions options, Func<int, int, ScaleShape> shapeFor) : IBlockMethod
{
    // A rate that diverges is divided by this and the block starts again, so many times.
    private const double RateCut = 4;
    private const int Restarts = 2;

    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public bool NeedsCalibration => true;

    /// <inheritdoc/>
    public QuantizedBlock Quantize(BlockContext context)
    {
        BlockStreams streams = context.Streams ?? throw new ArgumentException($"The method {name} needs calibration streams.", nameof(context));
        IReadOnlyList<LinearSlot> slots = context.Block.Slots;
        ScaleShape[] shapes = [.. slots.Select(slot => shapeFor(slot.OutFeatures, slot.InFeatures))];
        long count = slots.Select((slot, i) => LearnedScale.ParameterCount(slot, shapes[i], context.Scheme.For(slot.Name).Grid)).Sum();
        using var arena = new ParameterArena(context.Device, count, slots.Count * 5);
        var learned = new LearnedScale[slots.Count];
        for (int i = 0; i < learned.Length; i++)
        {
            Scheme scheme = context.Scheme.For(slots[i].Name);
            FittedGrid start = FittedGrid.Find(
                ((DenseWeight)slots[i].Weight).Value.ToArray(), slots[i].OutFeatures, slots[i].InFeatures, scheme, context.Device.HostWorkers);
            learned[i] = LearnedScale.Create(slots[i], shapes[i], scheme.Grid, start, arena, Seeds.Factor(context.Seed, context.Block.Index, i));
        }
        var dense = new IWeightSource[slots.Count];
        for (int i = 0; i < dense.Length; i++) dense[i] = slots[i].Exchange(learned[i]);
        try
        {
            using var trainer = new BlockTrainer(context.Block, streams, arena, options);
            var session = new TrainingSession(context, options, trainer, arena, streams);
            return session.Run(RateCut, Restarts) with { Weights = [.. learned.Select(scale => scale.ToQuantizedWeight())] };
        }
        finally
        {
            for (int i = 0; i < dense.Length; i++) slots[i].Exchange(dense[i]);
            foreach (LearnedScale scale in learned) scale.Dispose();
        }
    }
}

/// <summary>Seeds of the generators of a run, one per purpose, block and linear.</summary>
internal static class Seeds
{
    /// <summary>Seed of U2 of linear <paramref name="linear"/> (slot order) of a block.</summary>
    public static ulong Factor(ulong run, int block, int linear) => 0x200000 + (4096 * run) + (16 * (ulong)block) + (ulong)linear;

    /// <summary>Seed of the order of windows in a block.</summary>
    public static ulong Order(ulong run, int block) => 0x1000 + (64 * run) + (ulong)block;
}
