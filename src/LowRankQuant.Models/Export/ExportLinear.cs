using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>A quantized linear of a source.</summary>
/// <param name="Module">Module path.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Grid">Integer grid.</param>
/// <param name="ScaleType">Stored type of the scales.</param>
/// <param name="Ordered">Whether its columns have an activation order.</param>
public sealed record ExportLinear(string Module, int OutFeatures, int InFeatures, UniformGrid Grid, ScaleType ScaleType, bool Ordered)
{
    /// <summary>Whether it is the embedding, a table in which rows are looked up; of a tied model the head too.</summary>
    public bool IsTable { get; init; }

    /// <summary>The linears of the model that it consists of; null where it is one of them.</summary>
    internal FusedModule? Parts { get; init; }

    /// <summary>Inputs that share one scale within a row.</summary>
    public int EffectiveGroupSize => Grid.Granularity == Granularity.Group ? Grid.GroupSize : InFeatures;
}
