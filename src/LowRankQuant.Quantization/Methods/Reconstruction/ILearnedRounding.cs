using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>The learned rounding of one slot: a weight while it is trained, integers afterwards.</summary>
internal interface ILearnedRounding : IWeightSource
{
    /// <summary>
    /// Half the width of the ramps that stand for the jumps of the rounding while gradients are recorded, in steps, from 0 (rounding) to 1/2 (none); what only rounds ignores it.
    /// </summary>
    float Softness { get; set; }

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
/// <param name="partsOf">What is learned of a weight of (outFeatures, inFeatures).</param>
internal sealed class ScaledRounding(Func<int, int, RoundingParts> partsOf) : IRoundingForm
{
    /// <summary>log s1, L2, U2 or S2, r2, c2, V, zero points, and two factors.</summary>
    public int MostParameters => 9;

    /// <inheritdoc/>
    public long ParameterCount(int outFeatures, int inFeatures, WeightGrid grid, LowRankBranch? branch)
    {
        RoundingParts parts = PartsOf(outFeatures, inFeatures, grid);
        return LearnedScale.ParameterCount(outFeatures, inFeatures, parts, grid) + (parts.TrainsBranch && branch is not null ? LearnedBranch.ParameterCount(branch) : 0);
    }

    /// <inheritdoc/>
    public ILearnedRounding Create(LinearSlot slot, LayerStart start, Scheme scheme, ParameterArena arena, ulong seed) =>
        LearnedScale.Create(slot, PartsOf(slot.OutFeatures, slot.InFeatures, start.Grid), start, arena, seed);

    // What a layer's own grid does not have is not learned there: steps and zero points of grids of floats, zero points of symmetric and two-level ones.
    private RoundingParts PartsOf(int outFeatures, int inFeatures, WeightGrid grid)
    {
        RoundingParts parts = partsOf(outFeatures, inFeatures);
        return parts with { HasOffsets = parts.HasOffsets && grid is not FloatGrid, HasZeroPoints = parts.HasZeroPoints && grid is UniformGrid { Symmetric: false } or AffineGrid };
    }
}

/// <summary>What is learned of one weight.</summary>
/// <param name="Shape">The form of D, the exponent of its scales.</param>
internal readonly record struct RoundingParts(ScaleShape Shape)
{
    /// <summary>Whether the factors of its branch are.</summary>
    public bool TrainsBranch { get; init; }

    /// <summary>Whether V is: an offset in front of the rounding for every weight.</summary>
    public bool HasOffsets { get; init; }

    /// <summary>Whether the zero points of its groups are.</summary>
    public bool HasZeroPoints { get; init; }
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
