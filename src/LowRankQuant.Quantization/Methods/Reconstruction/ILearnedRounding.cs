using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>The learned rounding of one slot: a weight while it is trained, integers afterwards.</summary>
internal interface ILearnedRounding : IWeightSource
{
    /// <summary>The integer weight of the parameters as they are now, with steps as they are stored.</summary>
    QuantizedWeight ToQuantizedWeight();
}

/// <summary>What is learned of a weight: scales within its rounding, offsets in front of it, or both.</summary>
internal interface IRoundingForm
{
    /// <summary>Parameters of a slot at most.</summary>
    int MostParameters { get; }

    /// <summary>Learned numbers of a weight.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">Its grid.</param>
    /// <param name="branch">The branch beside it; null for none.</param>
    long ParameterCount(int outFeatures, int inFeatures, WeightGrid grid, LowRankBranch? branch);

    /// <summary>Places the parameters of a slot in an arena.</summary>
    /// <param name="slot">The slot, with its weight in full precision.</param>
    /// <param name="start">Where learning begins.</param>
    /// <param name="scheme">How the slot's weight is stored.</param>
    /// <param name="arena">Holds what is learned.</param>
    /// <param name="seed">Of first values that are random.</param>
    ILearnedRounding Create(LinearSlot slot, LayerStart start, Scheme scheme, ParameterArena arena, ulong seed);
}

/// <summary>Scales within the rounding, and perhaps a branch beside it (<see cref="LearnedScale"/>): LRQ and FlexRound.</summary>
/// <param name="shapeFor">The form of D for a weight of (outFeatures, inFeatures).</param>
/// <param name="trainBranches">Whether the factors of branches are learned too.</param>
internal sealed class ScaledRounding(Func<int, int, ScaleShape> shapeFor, bool trainBranches) : IRoundingForm
{
    /// <summary>log s1, L2, U2 or S2, r2, c2, and two factors.</summary>
    public int MostParameters => 7;

    /// <inheritdoc/>
    public long ParameterCount(int outFeatures, int inFeatures, WeightGrid grid, LowRankBranch? branch) =>
        LearnedScale.ParameterCount(outFeatures, inFeatures, shapeFor(outFeatures, inFeatures), grid) + (trainBranches && branch is not null ? LearnedBranch.ParameterCount(branch) : 0);

    /// <inheritdoc/>
    public ILearnedRounding Create(LinearSlot slot, LayerStart start, Scheme scheme, ParameterArena arena, ulong seed) =>
        LearnedScale.Create(slot, shapeFor(slot.OutFeatures, slot.InFeatures), start, arena, seed, trainBranches);
}

/// <summary>Offsets in front of the rounding, and the ends of groups (<see cref="LearnedOffsets"/>): AutoRound.</summary>
internal sealed class OffsetRounding : IRoundingForm
{
    /// <summary>V, a, b.</summary>
    public int MostParameters => 3;

    /// <inheritdoc/>
    public long ParameterCount(int outFeatures, int inFeatures, WeightGrid grid, LowRankBranch? branch) => LearnedOffsets.ParameterCount(outFeatures, inFeatures, grid.GroupsPerRow(inFeatures));

    /// <inheritdoc/>
    public ILearnedRounding Create(LinearSlot slot, LayerStart start, Scheme scheme, ParameterArena arena, ulong seed) => LearnedOffsets.Create(slot, scheme, arena);
}
