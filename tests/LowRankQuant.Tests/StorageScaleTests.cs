using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests;

public class StorageScaleTests
{
    [Theory]
    [InlineData(ScaleType.Float16)]
    [InlineData(ScaleType.BFloat16)]
    [InlineData(ScaleType.Float32)]
    public void AZeroStepBecomesTheSmallestNormalNumber(ScaleType type)
    {
        float rounded = StorageScale.Round(0f, type);
        Assert.True(rounded > 0 && float.IsFinite(rounded));
        Assert.Equal(rounded, StorageScale.RoundAny(rounded, type));
    }

    [Fact]
    public void AScaleBeyondHalfPrecisionIsRefused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => StorageScale.Round(70000f, ScaleType.Float16));

    [Fact]
    public void BFloat16RoundsToNearestEven()
    {
        Assert.Equal(0x3F80, BFloat16.FromSingle(1f + (1f / 256)));
        Assert.Equal(0x3F82, BFloat16.FromSingle(1f + (3f / 256)));
        Assert.Equal(0x3F81, BFloat16.FromSingle(1f + (1.0001f / 256)));
    }
}
