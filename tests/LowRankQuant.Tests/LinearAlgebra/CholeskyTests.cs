using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

public class CholeskyTests
{
    public static TheoryData<int> Sizes => Matrices.Sizes;

    private static double[] Factored(double[] a, int n)
    {
        double[] l = [.. a];
        Cholesky.Factor<double>(l, n);
        return l;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void TheFactorIsTheOraclesAndRebuildsTheMatrix(int n)
    {
        double[] a = Matrices.PositiveDefinite(n, n);
        double[] l = Factored(a, n);
        Matrices.Close(a, Matrices.Multiply(l, Matrices.Transpose(l, n, n), n, n, n), 1e-13 * Matrices.MaxAbs(a));
        Matrices.Close(Matrices.ToOracle(a, n, n).Cholesky().Factor.ToRowMajorArray(), l, 1e-12);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void SinglePrecisionWorksTheSame(int n)
    {
        double[] a = Matrices.PositiveDefinite(n, n + 1000);
        float[] l = Matrices.ToSingle(a);
        Cholesky.Factor<float>(l, n);
        double[] wide = Matrices.ToDouble(l);
        Matrices.Close(a, Matrices.Multiply(wide, Matrices.Transpose(wide, n, n), n, n, n), 1e-5 * Matrices.MaxAbs(a));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(300)]
    [InlineData(1100)]
    public void OnThreadsItIsTheSame(int n)
    {
        double[] a = Matrices.PositiveDefinite(n, n + 7), l = Factored(a, n), inverse = [.. a];
        Assert.True(Cholesky.TryUpperFactorOfInverse<double>(inverse, n, out _));
        double largest = Matrices.MaxAbs(l), largestInverse = Matrices.MaxAbs(inverse);
        double[]? first = null, firstInverse = null;
        foreach (int threads in new[] { 1, 3 })
        {
            using var workers = new WorkerPool(threads);
            double[] factor = [.. a], upper = [.. a];
            Assert.True(Cholesky.TryFactor(factor, n, workers, out int pivot));
            Assert.Equal(-1, pivot);
            Assert.True(Cholesky.TryUpperFactorOfInverse(upper, n, workers, out _));
            Matrices.Close(l, factor, 1e-12 * largest);
            Matrices.Close(inverse, upper, 1e-11 * largestInverse);
            Assert.Equal(first ??= factor, factor);
            Assert.Equal(firstInverse ??= upper, upper);
        }
    }

    [Fact]
    public void OnThreadsTheFirstBadPivotIsReported()
    {
        const int n = 200;
        double[] a = Matrices.PositiveDefinite(n, 11);
        a[(150 * n) + 150] = -1;
        using var workers = new WorkerPool(2);
        Assert.False(Cholesky.TryFactor((double[])a.Clone(), n, workers, out int pivot));
        Assert.Equal(150, pivot);
        Assert.False(Cholesky.TryUpperFactorOfInverse((double[])a.Clone(), n, workers, out int reversed));
        Assert.InRange(reversed, 0, 150);
    }

    [Fact]
    public void OnlyTheLowerTriangleIsRead()
    {
        const int n = 70;
        double[] a = Matrices.PositiveDefinite(n, 3), expected = Factored(a, n);
        for (int i = 0; i < n; i++) a.AsSpan((i * n) + i + 1, n - i - 1).Fill(double.NaN);
        Assert.Equal(expected, Factored(a, n));
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(5, 0)]
    [InlineData(5, 4)]
    [InlineData(100, 63)]
    [InlineData(100, 64)]
    [InlineData(130, 129)]
    public void TheFirstBadPivotIsReported(int n, int pivot)
    {
        // L D L^T with one negative entry in D has positive pivots up to that entry and no further.
        double[] l = Factored(Matrices.PositiveDefinite(n, 5), n), d = new double[n];
        Array.Fill(d, 1.0);
        d[pivot] = -1;
        double[] a = Matrices.Multiply(Matrices.ScaleColumns(l, d), Matrices.Transpose(l, n, n), n, n, n);
        Assert.False(Cholesky.TryFactor<double>([.. a], n, out int failing));
        Assert.Equal(pivot, failing);
        NotPositiveDefiniteException thrown = Assert.Throws<NotPositiveDefiniteException>(() => Cholesky.Factor<double>([.. a], n));
        Assert.Equal((pivot, n), (thrown.Pivot, thrown.Size));
        Assert.Contains("damping", thrown.Message);
    }

    [Fact]
    public void AMatrixWithoutFullRankFailsUntilItIsDamped()
    {
        const int n = 90;
        double[] tall = Matrices.Random(n, 40, 11);
        double[] a = Matrices.Multiply(tall, Matrices.Transpose(tall, n, 40), n, 40, n);
        Assert.False(Cholesky.TryFactor<double>([.. a], n, out int failing));
        Assert.InRange(failing, 40, n - 1);
        for (int i = 0; i < n; i++) a[(i * n) + i] += 0.01;
        Assert.True(Cholesky.TryFactor<double>(a, n, out failing));
        Assert.Equal(-1, failing);
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(0.0)]
    public void ABadDiagonalElementIsReported(double value)
    {
        double[] a = Matrices.Identity(4);
        a[(2 * 4) + 2] = value;
        Assert.False(Cholesky.TryFactor<double>(a, 4, out int failing));
        Assert.Equal(2, failing);
    }

    [Fact]
    public void AMatrixOfTinyValuesIsNotMistakenForAnIndefiniteOne()
    {
        double[] a = [4e-280, 2e-280, 2e-280, 5e-280];
        double[] l = Factored(a, 2);
        Matrices.Close([2e-140, 0, 1e-140, 2e-140], l, 1e-154);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void SolveAndInverse(int n)
    {
        double[] a = Matrices.PositiveDefinite(n, n + 7), l = Factored(a, n);
        foreach (int columns in new[] { 1, 3, 20 })
        {
            double[] x = Matrices.Random(n, columns, 9), b = Matrices.Multiply(a, x, n, n, columns);
            Cholesky.Solve<double>(l, n, b, columns);
            Matrices.Close(x, b, 1e-11);
        }
        Cholesky.Invert<double>(l, n);
        Matrices.Close(Matrices.ToOracle(a, n, n).Inverse().ToRowMajorArray(), l, 1e-11);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void UpperFactorOfTheInverse(int n)
    {
        double[] a = Matrices.PositiveDefinite(n, n + 8), u = [.. a];
        Assert.True(Cholesky.TryUpperFactorOfInverse<double>(u, n, out _));
        for (int i = 0; i < n; i++)
        {
            Assert.True(u[(i * n) + i] > 0);
            for (int j = 0; j < i; j++) Assert.Equal(0, u[(i * n) + j]);
        }
        double[] inverse = Matrices.ToOracle(a, n, n).Inverse().ToRowMajorArray();
        Matrices.Close(inverse, Matrices.Multiply(Matrices.Transpose(u, n, n), u, n, n, n), 1e-11);
    }

    [Fact]
    public void UpperFactorOfTheInverseReportsThePivotInTheCallersOrder()
    {
        double[] a = Matrices.Identity(5);
        a[(1 * 5) + 1] = -1;
        Assert.False(Cholesky.TryUpperFactorOfInverse<double>(a, 5, out int failing));
        Assert.Equal(1, failing);
    }

    [Fact]
    public void AWrongLengthIsRefused() => Assert.Throws<ArgumentException>(() => Cholesky.Factor<double>(new double[5], 2));

    [Fact]
    public void AnElementTypeWithoutVectorsIsRefused() => Assert.Throws<NotSupportedException>(() => Cholesky.Factor<Half>(new Half[1], 1));
}
