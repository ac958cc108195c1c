using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Targets;

/// <summary>A layer as the rules of a target look at it.</summary>
/// <param name="Name">Name within the block.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Grid">The grid it shall be stored on.</param>
/// <param name="ScaleType">Stored type of scales.</param>
internal readonly record struct TargetLayer(string Name, int OutFeatures, int InFeatures, WeightGrid Grid, ScaleType ScaleType)
{
    /// <summary>Shards; 1 for a whole matrix.</summary>
    public int TensorParallel { get; init; } = 1;

    /// <summary>Rows of all layers that the engine fuses with this one, itself included.</summary>
    public int FusedOutFeatures { get; init; } = OutFeatures;

    /// <summary>Whether it is a router or another small gate, which most models leave as floats.</summary>
    public bool IsUsuallyFloats { get; init; }

    /// <summary>Inputs that share a scale; only roughly where the grid does not divide the rows.</summary>
    public int GroupSize => InFeatures / Math.Max(1, Grid.GroupsPerRow(InFeatures));
}
