using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

public class SymmetricEigenTests
{
    public static TheoryData<int> Sizes => Matrices.Sizes;

    private static (double[] Values, double[] Vectors) Decompose(double[] a, int n)
    {
        double[] values = new double[n], vectors = new double[n * n];
        SymmetricEigen.Decompose<double>(a, n, values, vectors);
        return (values, vectors);
    }

    private static double[] CheckIdentities(double[] a, int n)
    {
        double size = Matrices.MaxAbs(a);
        (double[] values, double[] vectors) = Decompose(a, n);
        Matrices.OrthonormalColumns(vectors, n, n);
        double[] rebuilt = Matrices.Multiply(Matrices.ScaleColumns(vectors, values), Matrices.Transpose(vectors, n, n), n, n, n);
        Matrices.Close(a, rebuilt, 2e-14 * n * size);
        for (int j = 0; j < n; j++)
        {
            if (j > 0) Assert.True(values[j - 1] <= values[j]);
            double[] column = [.. Enumerable.Range(0, n).Select(i => vectors[(i * n) + j])];
            Assert.True(column.MaxBy(Math.Abs) > 0);
        }
        return values;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void ValuesAreTheOraclesAndVectorsRebuildTheMatrix(int n)
    {
        double[] a = Matrices.Symmetric(n, n);
        double[] values = CheckIdentities(a, n);
        var oracle = Matrices.ToOracle(a, n, n).Evd(MathNet.Numerics.LinearAlgebra.Symmetricity.Symmetric);
        double[] expected = [.. oracle.EigenValues.Select(value => value.Real).Order()];
        Matrices.Close(expected, values, 1e-12 * Math.Sqrt(n));
    }

    [Theory]
    [InlineData(30, 7)]
    [InlineData(100, 1)]
    [InlineData(65, 64)]
    public void MissingRankGivesZeroValues(int n, int rank)
    {
        double[] factor = Matrices.Random(n, rank, 3), a = Matrices.Multiply(factor, Matrices.Transpose(factor, n, rank), n, rank, n);
        double[] values = CheckIdentities(a, n);
        Assert.All(values[..(n - rank)], value => Assert.True(Math.Abs(value) < 1e-12 * values[^1]));
        Assert.True(values[n - rank] > 1e-8);
    }

    [Fact]
    public void DiagonalMatricesComeBackExactly()
    {
        double[] a = [3, 0, 0, 0, 0, -1e-20, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0];
        (double[] values, double[] vectors) = Decompose(a, 4);
        Assert.Equal([-1e-20, 0, 2, 3], values);
        Assert.Equal([0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0], vectors);
    }

    [Fact]
    public void RepeatedValues()
    {
        // I - 2 v v^T / v.v has the value -1 once and 1 otherwise.
        const int n = 40;
        double[] v = Matrices.Random(n, 1, 8), a = Matrices.Identity(n);
        double square = v.Sum(value => value * value);
        for (int i = 0; i < a.Length; i++) a[i] -= 2 * v[i / n] * v[i % n] / square;
        double[] values = CheckIdentities(a, n), expected = new double[n];
        Array.Fill(expected, 1.0);
        expected[0] = -1;
        Matrices.Close(expected, values, 1e-13);
    }

    [Theory]
    [InlineData(1e-300)]
    [InlineData(1e300)]
    [InlineData(1e-160)]
    public void TinyAndHugeMatrices(double factor)
    {
        double[] unit = Matrices.Symmetric(15, 2), expected = Decompose(unit, 15).Values;
        (double[] values, double[] vectors) = Decompose([.. unit.Select(value => value * factor)], 15);
        Matrices.OrthonormalColumns(vectors, 15, 15);
        Matrices.Close([.. expected.Select(value => value * factor)], values, 1e-13 * factor);
    }

    [Fact]
    public void GradedMatrices()
    {
        const int n = 24;
        double[] a = Matrices.Symmetric(n, 5);
        for (int i = 0; i < a.Length; i++) a[i] *= Math.Pow(10, -(i / n) - (i % n));
        CheckIdentities(a, n);
        Array.Reverse(a);
        CheckIdentities(a, n);
    }

    [Fact]
    public void ZeroAndEmpty()
    {
        Assert.Equal(new double[6], CheckIdentities(new double[36], 6));
        SymmetricEigen.Decompose<double>([], 0, [], []);
    }

    [Fact]
    public void OnlyTheLowerTriangleIsRead()
    {
        double[] a = Matrices.Symmetric(6, 9);
        (double[] values, double[] vectors) = Decompose(a, 6);
        a[1] = double.NaN;
        Assert.Equal(values, Decompose(a, 6).Values);
        Assert.Equal(vectors, Decompose(a, 6).Vectors);
        a[6] = double.NaN;
        Assert.Throws<ArgumentException>(() => Decompose(a, 6));
    }

    [Fact]
    public void SinglePrecision()
    {
        const int n = 60;
        double[] a = Matrices.Symmetric(n, 1);
        float[] values = new float[n], vectors = new float[n * n];
        SymmetricEigen.Decompose<float>(Matrices.ToSingle(a), n, values, vectors);
        Matrices.Close(Decompose(a, n).Values, Matrices.ToDouble(values), 1e-4);
        Matrices.OrthonormalColumns(Matrices.ToDouble(vectors), n, n, 2e-6);
    }
}
