using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Quantization.Targets;

public sealed class LlamaCppGridsTests
{
    [Theory]
    [InlineData(1536, "Q2_K Q3_K Q4_K Q5_K Q6_K Q4_0 Q5_0 Q8_0 Q2_0")]
    [InlineData(576, "Q4_0 Q5_0 Q8_0 Q2_0")]
    [InlineData(96, "Q4_0 Q5_0 Q8_0")]
    [InlineData(40, "")]
    public void EveryBlockThatRowsAllowIsFilledByOneGrid(int inFeatures, string types)
    {
        IReadOnlyList<WeightGrid> grids = LlamaCppGrids.For(inFeatures);
        Assert.Equal(types, string.Join(' ', grids.Select(grid => TargetFit.Of(Target.LlamaCpp, "mlp.up_proj", 64, inFeatures, grid, ScaleType.Float16).Container)));
        foreach (WeightGrid grid in grids)
        {
            TargetFit fit = TargetFit.Of(Target.LlamaCpp, "mlp.up_proj", 64, inFeatures, grid, ScaleType.Float16);
            Assert.Equal(fit.BitsPerWeight, (double)grid.StoredBits(64, inFeatures, ScaleType.Float16) / (64 * inFeatures), 1e-12);
            Assert.Null(fit.ScaleDigits);
        }
    }
}
