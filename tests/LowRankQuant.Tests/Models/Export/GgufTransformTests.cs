using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>Rates of decay there and back, and columns and rows of quantized weights in other orders.</summary>
public class GgufTransformTests
{
    [Fact]
    public void AStoredNumberOfFewDigitsComesBack()
    {
        for (int i = -2000; i <= 2000; i++)
        {
            float log = BFloat16.ToSingle(BFloat16.FromSingle(i * 0.0037f));
            Assert.Equal(log, DecayRates.LogOf(DecayRates.Of(log)));
        }
        // Near 0 a rate has fewer digits than what it is made of, and stays the same all the same.
        Assert.Equal(-1f, DecayRates.Of(DecayRates.LogOf(DecayRates.Of(1e-12f))));
    }

    [Fact]
    public void ARateThatWasMadeComesBackToTheBit()
    {
        var random = new SeededRandom(8);
        for (int i = 0; i < 20000; i++)
        {
            float rate = DecayRates.Of((float)(3 * random.NextGaussian()));
            Assert.Equal(rate, DecayRates.Of(DecayRates.LogOf(rate)));
        }
    }

    [Fact]
    public void HeadsOfTwoGroupsAreInterleavedAndPairsLieSideBySide()
    {
        Assert.Equal([0, 1, 2, 3, 6, 7, 4, 5, 8, 9], RowOrders.OfHeads(2, 4, 2, first: 2));
        Assert.Equal([0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11], RowOrders.OfPairs(12, 2, 4));
        Assert.Equal([2, 0, 1], RowOrders.Inverse([1, 2, 0]));
        float[] rows = [1, 2, 3];
        RowOrders.ToModel(rows, [1, 2, 0], 1);
        Assert.Equal([3f, 1, 2], rows);
    }

    [Fact]
    public void ColumnsMoveWithTheirScalesOrNotAtAll()
    {
        UniformWeight weight = Weight(new UniformGrid(4, false, Granularity.Group, 2), 6, 0.5f, 1, 2, 0.25f, 4, 8);
        UniformWeight moved = weight.SelectColumns([4, 5, 1, 0, 2, 3])!;
        float[] expected = Values(weight), actual = Values(moved);
        for (int row = 0; row < 2; row++) Assert.Equal(new[] { 4, 5, 1, 0, 2, 3 }.Select(column => expected[(row * 6) + column]), actual.Skip(row * 6).Take(6));
        Assert.Null(weight.SelectColumns([0, 2, 1, 3, 4, 5]));
        UniformWeight whole = Weight(new UniformGrid(4, false, Granularity.Channel), 6, 0.5f, 2);
        Assert.Equal(Values(whole).Take(6).Reverse(), Values(whole.SelectColumns([5, 4, 3, 2, 1, 0])!).Take(6));
    }

    [Fact]
    public void RowsAreMultipliedWhereNoScaleIsRounded()
    {
        UniformWeight weight = Weight(new UniformGrid(4, false, Granularity.Channel), 6, 0.3f, 2);
        UniformWeight doubled = weight.ScaleRows(row => row == 0 ? 2 : -4)!;
        Assert.Equal(Values(weight).Select((value, i) => value * (i < 6 ? 2 : -4)), Values(doubled));
        Assert.Null(weight.ScaleRows(_ => 0.7f));
    }

    private static UniformWeight Weight(UniformGrid grid, int columns, params float[] scales) => new(
        2, columns, grid, [.. Enumerable.Range(0, 2 * columns).Select(i => (byte)i)], [.. scales.Select(scale => (float)(Half)scale)],
        [.. scales.Select((_, i) => (byte)(i + 1))], ScaleType.Float16);

    private static float[] Values(QuantizedWeight weight)
    {
        var values = new float[weight.Codes.Length];
        weight.Dequantize(values);
        return values;
    }
}
