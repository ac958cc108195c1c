using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Quantized;

/// <summary>Floats of 4 and 8 bits: rounding to the nearest of their numbers, and the codes of these.</summary>
public sealed class SmallFloatTests
{
    public static TheoryData<string> Formats => ["E2M1", "E4M3"];

    [Theory]
    [MemberData(nameof(Formats))]
    public void RoundsToTheNearestNumber(string name)
    {
        SmallFloat format = Find(name);
        double[] numbers = [.. format.Values.ToArray().Where(float.IsFinite).Select(value => value + 0.0).Distinct().Order()];
        SeededRandom random = SeededRandom.Derive(7);
        for (int i = 0; i < 20000; i++)
        {
            // All exponents, below the least number and beyond the largest too.
            double value = random.NextGaussian() * Math.Pow(2, (random.NextUniform() * 24) - 12);
            double nearest = numbers.MinBy(number => Math.Abs(number - value));
            Assert.Equal(nearest, format.Round(value) + 0.0);
            Assert.Equal((float)numbers.MinBy(number => Math.Abs(number - (float)value)), format.Round((float)value) + 0f);
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void ATieGoesToTheEvenMantissa(string name)
    {
        SmallFloat format = Find(name);
        for (int code = 0; code + 1 < format.SignBit; code++)
        {
            float low = format.Values[code], high = format.Values[code + 1];
            if (!float.IsFinite(high)) break;
            float even = code % 2 == 0 ? low : high;
            Assert.Equal(even, format.Round((low + high) / 2));
            Assert.Equal(-even, format.Round(-(low + high) / 2));
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void EveryCodeIsThatOfItsNumber(string name)
    {
        SmallFloat format = Find(name);
        for (int code = 0; code < format.Values.Length; code++)
        {
            float value = format.Values[code];
            if (float.IsNaN(value)) continue;
            Assert.Equal(code, format.CodeOf(value));
            Assert.Equal(value, format.Round(value));
        }
        Assert.Equal(format.Largest, format.Round(float.MaxValue));
        Assert.Equal(-format.Largest, format.Round(double.MinValue));
        Assert.True(float.IsNegative(format.Round(-1e-9f)));
    }

    [Fact]
    public void TheNumbersAreThoseOfTheStandards()
    {
        Assert.Equal([0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6], SmallFloat.E2M1.Values.ToArray());
        Assert.Equal((448f, 0.001953125f, 1f), (SmallFloat.E4M3.Values[0x7E], SmallFloat.E4M3.Values[1], SmallFloat.E4M3.Values[0x38]));
        Assert.True(float.IsNaN(SmallFloat.E4M3.Values[0x7F]) && float.IsNaN(SmallFloat.E4M3.Values[0xFF]));
    }

    [Theory]
    [InlineData(6.0, 1f)]
    [InlineData(6.99, 1f)]
    [InlineData(7.0, 2f)]
    [InlineData(4.0, 1f)]
    [InlineData(3.99, 1f)]
    [InlineData(3.49, 0.5f)]
    [InlineData(0.0, 1f)]
    public void APowerOfTwoIsRoundedUpFromThreeQuarters(double largest, float scale) => Assert.Equal(scale, FloatScale.PowerOfTwoFor(largest, SmallFloat.E2M1));

    [Fact]
    public void BytesOfPowersOfTwoReachFromEndToEnd()
    {
        for (int stored = 0; stored <= FloatScale.LargestByte; stored++) Assert.Equal(stored, FloatScale.ExponentByte(FloatScale.PowerOfTwo((byte)stored)));
        Assert.True(float.IsNaN(FloatScale.PowerOfTwo(255)));
        Assert.Equal(FloatScale.PowerOfTwo(0), FloatScale.PowerOfTwoFor(1e-45, SmallFloat.E4M3));
    }

    [Fact]
    public void AWeightRefusesWhatItsGridCannotStore()
    {
        var codes = new byte[2 * 32];
        FloatWeight Weight(FloatGrid grid, float scale, float divisor = 1) => new(2, 32, grid, codes, [.. Enumerable.Repeat(scale, grid.ScaleRows(2) * grid.GroupsPerRow(32))], ScaleType.BFloat16, divisor);
        Assert.Throws<ArgumentException>(() => Weight(FloatGrid.Mxfp4, 3));
        Assert.Throws<ArgumentException>(() => Weight(FloatGrid.Mxfp4, 2, divisor: 4));
        Assert.Throws<ArgumentException>(() => Weight(FloatGrid.Nvfp4, 449));
        Assert.Throws<ArgumentException>(() => Weight(FloatGrid.Fp8, 1.0009765625f));
        Assert.Throws<ArgumentException>(() => Weight(FloatGrid.Nvfp4, 2, divisor: 0));
        Assert.Throws<ArgumentException>(() => new FloatWeight(1, 32, FloatGrid.Fp8, [.. Enumerable.Repeat((byte)0x7F, 32)], [1], ScaleType.BFloat16));
        codes[3] = 7;
        var values = new float[64];
        Weight(FloatGrid.Nvfp4, 2, divisor: 4).Dequantize(values);
        Assert.Equal(3f, values[3]);
        Assert.Equal((64 * 4) + (4 * 8) + 32, Weight(FloatGrid.Nvfp4, 2).StoredBits);
    }

    private static SmallFloat Find(string name) => name == "E2M1" ? SmallFloat.E2M1 : SmallFloat.E4M3;
}
