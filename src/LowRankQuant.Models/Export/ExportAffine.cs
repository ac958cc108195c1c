using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>A linear of a source with float minima.</summary>
/// <param name="Module">Module path.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Grid">Its grid.</param>
/// <param name="ScaleType">Stored type of scales and minima.</param>
public sealed record ExportAffine(string Module, int OutFeatures, int InFeatures, AffineGrid Grid, ScaleType ScaleType)
{
    /// <summary>The linears of the model that it consists of; null where it is one of them.</summary>
    internal FusedModule? Parts { get; init; }
}
