using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Quantized;

public sealed class AffineWeightTests
{
    private static readonly AffineGrid Grid = new(3, 4);

    [Fact]
    public void AValueIsScaleTimesCodePlusMinimum()
    {
        AffineWeight weight = Weight();
        var values = new float[16];
        weight.Dequantize(values);
        for (int i = 0; i < values.Length; i++) Assert.Equal((weight.Scales[i / 4] * weight.Codes[i]) + weight.Minima[i / 4], values[i]);
    }

    // 8 codes of 3 bits fill one word of a row; two groups have two halves each.
    [Fact]
    public void StoredBitsCountCodesScalesAndMinima()
    {
        Assert.Equal(2 * (32 + (2 * 2 * 16)), Weight().StoredBits);
        Assert.Equal(2 * (32 + (2 * 2 * 32)), Grid.StoredBits(2, 8, ScaleType.Float32));
        Assert.Equal(5, (double)new AffineGrid(4, 32).StoredBits(64, 256, ScaleType.Float16) / (64 * 256));
    }

    [Fact]
    public void RowsColumnsAndFactorsKeepEveryNumber()
    {
        AffineWeight weight = Weight();
        Assert.Equal(Values(weight)[8..], Values(weight.SelectRows(1, _ => 1)));
        Assert.Equal(Values(weight), Values(weight.SelectColumns([4, 5, 6, 7, 0, 1, 2, 3])!.SelectColumns([4, 5, 6, 7, 0, 1, 2, 3])!));
        Assert.Null(weight.SelectColumns([0, 4, 1, 5, 2, 6, 3, 7]));
        Assert.Equal(Values(weight).Select(value => 2 * value), Values(weight.ScaleRows(_ => 2)!));
        Assert.Null(weight.ScaleRows(_ => 1.2345678f));
        QuantizedWeight joined = QuantizedWeight.JoinRows(4, [(weight, row => 2 * row), (weight, row => (2 * row) + 1)])!;
        Assert.Equal(Values(weight)[..8], Values(joined)[8..16]);
        Assert.Equal(Values(weight), Values(weight.InGroupsOf(2)));
        Assert.Equal(new AffineGrid(3, 2), weight.InGroupsOf(2).Grid);
        Assert.Throws<ArgumentException>(() => weight.InGroupsOf(3));
    }

    [Theory]
    [InlineData(float.NaN, 0)]
    [InlineData(float.PositiveInfinity, 0)]
    [InlineData(0, 0)]
    [InlineData(0.1f, 0)] // no half
    [InlineData(1, float.NaN)]
    [InlineData(1, float.NegativeInfinity)]
    [InlineData(1, 0.1f)]
    public void NumbersThatCannotBeStoredAreRefused(float scale, float minimum) =>
        Assert.Throws<ArgumentException>(() => new AffineWeight(1, 4, Grid, new byte[4], [scale], [minimum], ScaleType.Float16));

    [Fact]
    public void SizesAndCodesAreChecked()
    {
        Assert.Throws<ArgumentException>(() => new AffineWeight(1, 6, Grid, new byte[6], [1], [0], ScaleType.Float16));
        Assert.Throws<ArgumentException>(() => new AffineWeight(1, 4, Grid, new byte[5], [1], [0], ScaleType.Float16));
        Assert.Throws<ArgumentException>(() => new AffineWeight(1, 4, Grid, [0, 1, 2, 8], [1], [0], ScaleType.Float16));
        Assert.Throws<ArgumentException>(() => new AffineWeight(1, 4, Grid, new byte[4], [1, 1], [0], ScaleType.Float16));
        Assert.Throws<ArgumentException>(() => new AffineWeight(1, 4, Grid, new byte[4], [1], [], ScaleType.Float16));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AffineGrid(1, 32));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AffineGrid(4, 0));
    }

    [Theory]
    [InlineData("q4_1", 4, 32)]
    [InlineData("Q5_1", 5, 32)]
    [InlineData("4:64:affine", 4, 64)]
    [InlineData("3:128:Affine", 3, 128)]
    public void AGridHasASpelling(string spelling, int bits, int group)
    {
        AffineGrid grid = AffineGrid.Find(spelling)!;
        Assert.Equal(new AffineGrid(bits, group), grid);
        Assert.Equal(grid, AffineGrid.Find(grid.Name));
        Assert.Equal($"w{bits} affine g{group}", grid.ToString());
    }

    [Theory]
    [InlineData("9:64:affine")]
    [InlineData("4:0:affine")]
    [InlineData("4:-1:affine")]
    [InlineData("4:affine")]
    [InlineData("4:64:symmetric")]
    [InlineData("q4_0")]
    public void WhatIsNoAffineGridIsNone(string spelling) => Assert.Null(AffineGrid.Find(spelling));

    private static AffineWeight Weight() => new(
        2, 8, Grid, [.. Enumerable.Range(0, 16).Select(i => (byte)(i * 5 % 8))], [0.5f, -0.25f, 0.125f, 3], [-1, 0, 0.75f, 2.5f], ScaleType.Float16);

    private static float[] Values(QuantizedWeight weight)
    {
        var values = new float[weight.Codes.Length];
        weight.Dequantize(values);
        return values;
    }
}
