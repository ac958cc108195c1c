using System.Text.Json;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Tests.Quantization.Flrq;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.LinearAlgebra;

/// <summary>R1-Sketch, its block form and the randomized SVD.</summary>
public sealed class SketchTests : IDisposable
{
    private readonly WorkerPool _one = new(1), _three = new(3);

    public static TheoryData<string> Cases =>
    [
        "gauss_64x96", "rank1_96x64", "rank3_80x48", "spiked_128x128", "scale_1e-12_64x64", "scale_1e12_64x64",
        "tinystories_l0_q", "gpt2_d6_query", "gpt2_d12_proj",
    ];

    public void Dispose()
    {
        _one.Dispose();
        _three.Dispose();
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void OneTermIsTheReferences(string name)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("r1sketch");
        JsonElement figures = FlrqGolden.Figures("r1sketch").GetProperty(name);
        int rows = figures.GetProperty("shape")[0].GetInt32(), columns = figures.GetProperty("shape")[1].GetInt32();
        double[] a = tensors.Contains($"{name}.A") ? tensors.Doubles($"{name}.A") : FlrqGolden.Weight(name).W, s = tensors.Doubles($"{name}.s");
        double energy = Energy(a);
        foreach (int it in new[] { 0, 1, 2, 4 })
        {
            double[] left = new double[rows], right = new double[columns], rest = (double[])a.Clone();
            double sigma = Peel(rest, rows, columns, it, s, left, right);
            double[] expectedLeft = tensors.Doubles($"{name}.it{it}.left"), expectedRight = tensors.Doubles($"{name}.it{it}.right");
            Matrices.Close(expectedLeft, left, 1e-10 * Matrices.MaxAbs(expectedLeft));
            Matrices.Close(expectedRight, right, 1e-10 * Matrices.MaxAbs(expectedRight));
            JsonElement expected = figures.GetProperty("it").GetProperty($"{it}");
            Assert.Equal(expected.GetProperty("sigma_est").GetDouble(), sigma, 1e-10 * sigma);
            // |A - p k^T|^2 = |A|^2 - |k|^2.
            Assert.Equal(energy - (sigma * sigma), Energy(rest), 1e-10 * energy);
            Assert.Equal(expected.GetProperty("residual_fro2").GetDouble(), Energy(rest), 1e-10 * energy);

            float[] single = Matrices.ToSingle(a), left32 = new float[rows], right32 = new float[columns];
            Peel(single, rows, columns, it, Matrices.ToSingle(s), left32, right32);
            Matrices.Close(expectedLeft, Matrices.ToDouble(left32), 1e-4 * Matrices.MaxAbs(expectedLeft));
            Matrices.Close(expectedRight, Matrices.ToDouble(right32), 1e-4 * Matrices.MaxAbs(expectedRight));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(12)]
    public void ThreadsAndBatchesChangeNothingAndEnergyFalls(int batch)
    {
        const int rows = 403, columns = 301, terms = 12;
        double[] a = Matrices.Random(rows, columns, 3), one = (double[])a.Clone(), three = (double[])a.Clone(), written = (double[])a.Clone();
        double[] starts = Matrices.Random(terms, columns, 4);
        var first = new R1Sketch<double>(one, rows, columns, 2, _one);
        var second = new R1Sketch<double>(three, rows, columns, 2, _three);
        for (int term = 0; term < terms; term += batch)
        {
            int now = Math.Min(batch, terms - term);
            double[] part = starts[(term * columns)..((term + now) * columns)], left = new double[now * rows], right = new double[now * columns];
            double[] largest = first.Peel(part, now, left, right, new LargestMagnitude<double>());
            Assert.Equal(largest, second.Peel(part, now, new double[now * rows], new double[now * columns], new LargestMagnitude<double>()));
            Assert.Equal(Matrices.MaxAbs(one), largest[^1]);
            Assert.Equal(new LargestMagnitude<double>().Of(one, columns, _three), largest[^1]);
            for (int i = 0; i < now; i++)
            {
                // The formulas written out, on a remainder of their own that every term is taken off at once.
                double energy = Energy(written), sigma = WrittenOut(written, rows, columns, starts[((term + i) * columns)..((term + i + 1) * columns)]);
                Assert.Equal(sigma, Math.Sqrt(Energy(left[(i * rows)..((i + 1) * rows)])), 1e-11 * sigma);
                Assert.Equal(1, Energy(right[(i * columns)..((i + 1) * columns)]), 1e-13);
                Assert.Equal(energy - (sigma * sigma), Energy(written), 1e-11 * energy);
                Assert.Equal(Matrices.MaxAbs(written), largest[i], 1e-11);
            }
            Matrices.Close(written, one, 1e-11);
        }
        Assert.Equal(one, three);
    }

    [Theory]
    [InlineData(160, 96)]
    [InlineData(70, 190)]
    public void TheBlockFormRemovesTheSameEnergy(int rows, int columns)
    {
        double[] a = Spiked(rows, columns, 20), single = (double[])a.Clone(), block = (double[])a.Clone(), other = (double[])a.Clone();
        const int width = 8, blocks = 3;
        double[] starts = Matrices.Random(width * blocks, columns, 9);
        const int terms = width * blocks;
        new R1Sketch<double>(single, rows, columns, 2, _one).Peel(starts, terms, new double[terms * rows], new double[terms * columns], new LargestMagnitude<double>());
        var peeler = new BlockSketch<double>(block, rows, columns, 2, _one);
        var twin = new BlockSketch<double>(other, rows, columns, 2, _three);
        double[] lefts = new double[width * rows], rights = new double[width * columns];
        for (int i = 0; i < blocks; i++)
        {
            double[] part = starts[(i * width * columns)..((i + 1) * width * columns)];
            double[] largest = peeler.Peel(part, width, width, lefts, rights, new LargestMagnitude<double>());
            Assert.Equal(largest, twin.Peel(part, width, width, lefts, rights, new LargestMagnitude<double>()));
            Assert.Equal(Matrices.MaxAbs(block), largest[^1]);
        }
        Assert.Equal(block, other);
        Assert.Equal(Energy(single), Energy(block), 0.01 * Energy(single));
    }

    [Fact]
    public void TheRandomizedSvdFindsTheLeadingTriplets()
    {
        const int rows = 150, columns = 90, rank = 12;
        double[] a = Spiked(rows, columns, rank);
        double[] u = new double[rank * rows], s = new double[rank], v = new double[rank * columns];
        RandomizedSvd.Decompose(a, rows, columns, rank, 4, new SeededRandom(5), u, s, v, _three);
        double[] exactU = new double[rows * columns], exact = new double[columns], exactV = new double[columns * columns];
        Svd.Decompose<double>(a, rows, columns, exactU, exact, exactV);
        for (int i = 0; i < rank; i++) Assert.Equal(exact[i], s[i], 1e-6 * exact[i]);
        (double[] _, double[] truncated, double[] _) = TruncatedSvd.Decompose(a, rows, columns, rank, _three);
        for (int i = 0; i < rank; i++) Assert.Equal(exact[i], truncated[i], 1e-9 * exact[0]);
        Matrices.OrthonormalColumns(Matrices.Transpose(u, rank, rows), rows, rank, 1e-11);
    }

    [Fact]
    public void ProductsInSinglePrecisionFindTheSameTriplets()
    {
        const int rows = 150, columns = 90, rank = 12;
        double[] a = Spiked(rows, columns, rank);
        double[] exactU = new double[rows * columns], exact = new double[columns], exactV = new double[columns * columns];
        Svd.Decompose<double>(a, rows, columns, exactU, exact, exactV);
        (double[] u, double[] s, double[] v) = SubspaceSvd.Decompose(a, rows, columns, rank, 8, 4, null, _three);
        for (int i = 0; i < rank; i++) Assert.Equal(exact[i], s[i], 1e-5 * exact[0]);
        Matrices.OrthonormalColumns(Matrices.Transpose(u, rank, rows), rows, rank, 1e-6);
        Matrices.OrthonormalColumns(Matrices.Transpose(v, rank, columns), columns, rank, 1e-4);
        (double[] otherU, double[] otherS, double[] otherV) = SubspaceSvd.Decompose(a, rows, columns, rank, 8, 4, null, _one);
        Assert.Equal(u, otherU);
        Assert.Equal(s, otherS);
        Assert.Equal(v, otherV);
        // From the vectors of nearly the same matrix fewer steps do, whatever the size of its elements.
        double[] near = [.. a.Select((value, i) => Math.ScaleB(value + (1e-3 * Math.Sin(i)), 300))];
        (_, double[] known, _) = SubspaceSvd.Decompose(near, rows, columns, rank, 8, 1, v, _three);
        for (int i = 0; i < rank; i++) Assert.Equal(exact[i], Math.ScaleB(known[i], -300), 1e-2 * exact[0]);
        // Vectors that depend on each other: a matrix of one direction.
        double[] flat = new double[rows * columns];
        for (int i = 0; i < flat.Length; i++) flat[i] = (1 + (i / columns)) * (1 + (i % columns));
        (_, double[] one, _) = SubspaceSvd.Decompose(flat, rows, columns, 3, 4, 2, null, _three);
        Assert.Equal(Math.Sqrt(flat.Sum(value => value * value)), one[0], 1e-5 * one[0]);
        Assert.All(one[1..], value => Assert.InRange(value, 0, 1e-5 * one[0]));
    }

    [Fact]
    public void AMatrixWithoutAnythingGivesNothing()
    {
        var zero = new double[20 * 30];
        double[] left = new double[20], right = new double[30], start = Matrices.Random(1, 30, 1);
        Assert.Equal(0, Peel(zero, 20, 30, 2, start, left, right));
        Assert.All(left, value => Assert.Equal(0, value));
        zero[7] = double.NaN;
        ArgumentException refused = Assert.Throws<ArgumentException>(() => new R1Sketch<double>(zero, 20, 30, 2, _one));
        Assert.Contains("row 0, column 7", refused.Message);
    }

    // Returns |k|, the length of the left vector.
    private double Peel<T>(T[] a, int rows, int columns, int iterations, T[] start, T[] left, T[] right)
        where T : unmanaged, System.Numerics.IFloatingPointIeee754<T>
    {
        new R1Sketch<T>(a, rows, columns, iterations, _one).Peel(start, 1, left, right, new LargestMagnitude<T>());
        return Math.Sqrt(left.Sum(value => double.CreateChecked(value * value)));
    }

    // P = A s; twice P = A (A^T P); p = P / |P|; k = A^T p; A -= p k^T; returns |k|.
    private static double WrittenOut(double[] a, int rows, int columns, double[] start)
    {
        double[] transposed = Matrices.Transpose(a, rows, columns), p = Matrices.Multiply(a, start, rows, columns, 1);
        for (int i = 0; i < 2; i++) p = Matrices.Multiply(a, Matrices.Multiply(transposed, p, columns, rows, 1), rows, columns, 1);
        double length = Math.Sqrt(Energy(p));
        p = [.. p.Select(value => value / length)];
        double[] k = Matrices.Multiply(transposed, p, columns, rows, 1);
        for (int i = 0; i < a.Length; i++) a[i] -= p[i / columns] * k[i % columns];
        return Math.Sqrt(Energy(k));
    }

    // Noise with a few directions that stand out.
    private static double[] Spiked(int rows, int columns, int spikes)
    {
        double[] a = Matrices.Random(rows, columns, 11), strong = Matrices.Multiply(
            Matrices.ScaleColumns(Matrices.Random(rows, spikes, 12), [.. Enumerable.Range(0, spikes).Select(i => 6.0 / (i + 1))]),
            Matrices.Random(spikes, columns, 13), rows, spikes, columns);
        for (int i = 0; i < a.Length; i++) a[i] = (0.2 * a[i]) + strong[i];
        return a;
    }

    private static double Energy(double[] a) => a.Sum(value => value * value);
}
