using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.FlrqPlus;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>Factors as they are stored: ordinary ones as ever, tiny ones with all their digits, and no rank that costs more than it may.</summary>
public sealed class FactorRoundingTests : IDisposable
{
    private const int Rows = 24, Columns = 16;
    private readonly WorkerPool _workers = new(1);

    public void Dispose() => _workers.Dispose();

    [Fact]
    public void OrdinaryFactorsHaveHalvesAsScales()
    {
        var random = new SeededRandom(2);
        // Down to 2e-3, where the half that is max / 127 is subnormal already but still has digits enough.
        double[] values = [.. Enumerable.Range(0, 5 * Columns).Select(i => random.NextGaussian() * Math.Pow(5, -(i / Columns)))], rounded = [.. values];
        FactorRounding.Rows(rounded, 5, 8);
        for (int row = 0; row < 5; row++)
        {
            double scale = (double)(Half)(values.Skip(row * Columns).Take(Columns).Max(Math.Abs) / 127);
            for (int i = row * Columns; i < (row + 1) * Columns; i++) Assert.Equal(Math.Round(values[i] / scale) * scale, rounded[i]);
        }
        double[] again = [.. rounded];
        FactorRounding.Rows(again, 5, 8);
        Assert.Equal(rounded, again);
        FactorCodes codes = FactorCodes.OfRows([.. rounded.Select(value => (float)value)], 5)!;
        Assert.Equal(ScaleType.Float16, codes.ScaleType);
        Assert.Equal(rounded, codes.Rows().Select(value => (double)value));
    }

    [Theory]
    [InlineData(1, 8)]
    [InlineData(1e-4, 8)]
    [InlineData(1e-9, 8)]
    [InlineData(1e-20, 8)]
    [InlineData(1e-40, 8)]
    [InlineData(1, 16)]
    [InlineData(1e-9, 16)]
    [InlineData(1e-20, 16)]
    [InlineData(1e-40, 16)]
    public void ATermOfAnySizeKeepsItsDigits(double size, int bits)
    {
        (double[] matrix, LowRankFactors factors) = Term(size);
        LowRankFactors stored = bits == 8 ? ByteFactors.Round(factors, matrix, Rows, Identity(), _workers) : factors.ToHalf();
        LowRankBranch branch = stored.ToBranch(bits)!;
        double error = 0, whole = 0;
        for (int row = 0; row < Rows; row++)
        {
            for (int column = 0; column < Columns; column++)
            {
                double value = matrix[(row * Columns) + column];
                error += Math.Pow((value - ((double)branch.B[row] * branch.A[column])) / size, 2);
                whole += Math.Pow(value / size, 2);
            }
        }
        // 8-bit codes leave half a code in 127 of each factor, bfloat16 a part in 256.
        Assert.InRange(Math.Sqrt(error / whole), 0, 0.01);
        if (bits == 8) Assert.NotNull(FactorCodes.OfColumns(branch.B, 1));
        if (bits == 8) Assert.NotNull(FactorCodes.OfRows(branch.A, 1));
    }

    [Fact]
    public void ATinyVectorBesideALargeOneIsKept()
    {
        float[] b = [.. Enumerable.Range(0, 2 * Rows).Select(i => (i % 2 == 0 ? 0.5f : 1e-9f) * (1 + (i / 2 % 7)))];
        float[] rounded = [.. b];
        FactorRounding.Columns(rounded, 2, 8);
        for (int i = 0; i < b.Length; i++) Assert.Equal(b[i], rounded[i], 0.005f * (i % 2 == 0 ? 3.5f : 7e-9f));
        FactorCodes codes = FactorCodes.OfColumns(rounded, 2)!;
        Assert.Equal(ScaleType.BFloat16, codes.ScaleType);
        Assert.Equal(rounded, codes.Columns());
    }

    [Theory]
    [InlineData(1.1754944e-38)]
    [InlineData(1e-41)]
    [InlineData(1e-45)]
    public void DenormalVectorsBecomeCodesOfTheSmallestScale(double size)
    {
        float[] values = [(float)size, (float)(-size / 2), 0, (float)(size / 3)], rounded = [.. values];
        FactorRounding.Rows(rounded, 1, 8);
        // A scale is never below the smallest normal number, so that no engine takes it for 0: what is smaller than half of it is 0.
        Assert.All(rounded, value => Assert.True(value == 0 || Math.Abs(value) >= 1.1754944e-38f, $"{value}"));
        Assert.Equal(size >= 1.17e-38 ? 1.1754944e-38f : 0, rounded[0]);
        FactorCodes codes = FactorCodes.OfRows(rounded, 1)!;
        Assert.Equal(rounded, codes.Rows());
    }

    [Theory]
    [InlineData(8, 0.2, 7)]
    [InlineData(16, 0.2, 4)]
    [InlineData(16, 0.05, 1)]
    [InlineData(16, 0.04, 0)]
    [InlineData(16, 0, 0)]
    // Without the scales of its factors one rank would take just 0.025, and eight 0.2.
    [InlineData(8, 0.025, 0)]
    public void NoRankCostsMoreThanTheExtraSize(int factorBits, double extra, int cap)
    {
        var cost = new RankCost(160, 160, 4, factorBits);
        Assert.Equal(cap, cost.Cap(extra));
        Assert.True(cost.SizeFactor(cap) <= 1 + extra + 1e-12);
        Assert.True(cost.SizeFactor(cap + 1) > 1 + extra);
        long bits = new LowRankBranch(1, new float[160], new float[160], factorBits).StoredBits;
        Assert.Equal(bits / (160.0 * 160), cost.BitsPerWeight(1), 1e-12);
    }

    [Theory]
    [InlineData(0.05, 1)]
    [InlineData(0.049, 0)]
    [InlineData(0, 0)]
    public void TheFirstRankToo(double extra, int rank)
    {
        // One large term that any rule would take: 16-bit factors of rank 1 cost a twentieth of codes of 4 bits.
        const int Size = 160;
        var random = new SeededRandom(6);
        double[] left = [.. Enumerable.Range(0, Size).Select(_ => random.NextGaussian())], right = [.. Enumerable.Range(0, Size).Select(_ => random.NextGaussian())];
        double[] weight = [.. Enumerable.Range(0, Size * Size).Select(i => (left[i / Size] * right[i % Size]) + (0.01 * random.NextGaussian()))];
        var sketching = new Sketching(SketchForm.RankOne, 2, new StartVectors(Size, 1UL), _workers);
        PeelResult result = R1Flr.Extract(weight, [.. Enumerable.Repeat(1.0, Size)], new RankCost(Size, Size, 4, 16), extra, sketching);
        Assert.Equal(rank, result.Factors.Rank);
    }

    // U as large as asked, rows of V of unit size; the term is exact.
    private static (double[] Matrix, LowRankFactors Factors) Term(double size)
    {
        var random = new SeededRandom(8);
        double[] u = [.. Enumerable.Range(0, Rows).Select(_ => size * random.NextGaussian())], v = [.. Enumerable.Range(0, Columns).Select(_ => random.NextGaussian())];
        return ([.. Enumerable.Range(0, Rows * Columns).Select(i => u[i / Columns] * v[i % Columns])], new LowRankFactors(1, u, v));
    }

    private DampedCovariance Identity()
    {
        var x = new double[Columns * Columns];
        for (int i = 0; i < Columns; i++) x[(i * Columns) + i] = 1;
        return DampedCovariance.Of(InputStatistics.Of(x, Columns, _workers), 0.1, "layer", []);
    }
}
