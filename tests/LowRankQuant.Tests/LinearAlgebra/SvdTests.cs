using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

public class SvdTests
{
    public static TheoryData<int, int> Shapes => Matrices.Shapes;

    private static (double[] U, double[] S, double[] Vt) Decompose(double[] a, int rows, int columns)
    {
        int k = Math.Min(rows, columns);
        double[] u = new double[rows * k], s = new double[k], vt = new double[k * columns];
        Svd.Decompose<double>(a, rows, columns, u, s, vt);
        return (u, s, vt);
    }

    private static double[] CheckIdentities(double[] a, int rows, int columns)
    {
        int k = Math.Min(rows, columns);
        (double[] u, double[] s, double[] vt) = Decompose(a, rows, columns);
        Matrices.OrthonormalColumns(u, rows, k);
        Matrices.OrthonormalColumns(Matrices.Transpose(vt, k, columns), columns, k);
        Matrices.Close(a, Matrices.Multiply(Matrices.ScaleColumns(u, s), vt, rows, k, columns), 1e-14 * Math.Max(rows, columns) * Matrices.MaxAbs(a));
        for (int j = 0; j < k; j++)
        {
            Assert.True(s[j] >= 0 && (j == 0 || s[j] <= s[j - 1]));
            Assert.True(vt[(j * columns)..((j + 1) * columns)].MaxBy(Math.Abs) > 0);
        }
        return s;
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void ValuesAreTheOraclesAndTheProductIsTheMatrix(int rows, int columns)
    {
        double[] a = Matrices.Random(rows, columns, rows * columns);
        double[] s = CheckIdentities(a, rows, columns);
        Matrices.Close(Matrices.ToOracle(a, rows, columns).Svd(false).S.ToArray(), s, 1e-12);
    }

    [Theory]
    [InlineData(40, 12, 5)]
    [InlineData(12, 40, 5)]
    [InlineData(90, 90, 1)]
    [InlineData(90, 90, 89)]
    [InlineData(130, 129, 60)]
    public void MissingRank(int rows, int columns, int rank)
    {
        double[] s = CheckIdentities(Matrices.OfRank(rows, columns, rank, 6), rows, columns);
        Assert.True(s[rank - 1] > 1e-6);
        Assert.All(s[rank..], value => Assert.True(value < 1e-13 * s[0]));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(6, 6)]
    [InlineData(7, 3)]
    [InlineData(3, 7)]
    public void ZeroMatrices(int rows, int columns) =>
        Assert.All(CheckIdentities(new double[rows * columns], rows, columns), value => Assert.Equal(0, value));

    [Theory]
    [InlineData(0, 5)]
    [InlineData(5, 0)]
    [InlineData(0, 0)]
    public void EmptyMatricesHaveNoValuesAndNothingIsWritten(int rows, int columns)
    {
        (double[] u, double[] s, double[] vt) = Decompose([], rows, columns);
        Assert.Equal((0, 0, 0), (u.Length, s.Length, vt.Length));
        double[] values = [7];
        Assert.Throws<ArgumentException>(() => Svd.Decompose<double>([], rows, columns, [], values, []));
        Assert.Equal(7, values[0]);
    }

    [Theory]
    [InlineData(3.5)]
    [InlineData(-3.5)]
    [InlineData(double.MaxValue)]
    [InlineData(double.Epsilon)]
    public void OneElement(double value)
    {
        (double[] u, double[] s, double[] vt) = Decompose([value], 1, 1);
        Assert.Equal((Math.Sign(value), Math.Abs(value), 1.0), (u[0], s[0], vt[0]));
    }

    [Theory]
    [InlineData(1e-300, 20, 20)]
    [InlineData(1e300, 20, 20)]
    [InlineData(1e-300, 31, 8)]
    [InlineData(1e300, 8, 31)]
    public void TinyAndHugeMatrices(double factor, int rows, int columns)
    {
        double[] unit = Matrices.Random(rows, columns, 5), expected = Decompose(unit, rows, columns).S;
        (double[] u, double[] s, double[] vt) = Decompose([.. unit.Select(value => value * factor)], rows, columns);
        Matrices.Close([.. expected.Select(value => value * factor)], s, 1e-13 * factor);
        Matrices.OrthonormalColumns(u, rows, s.Length);
        Matrices.OrthonormalColumns(Matrices.Transpose(vt, s.Length, columns), columns, s.Length);
    }

    [Fact]
    public void ValuesFarBelowTheSquareRootOfEpsilonAreResolved()
    {
        // Eigenvalues of A^T A alone could not tell these from noise: 1e-12 squared is 1e-24.
        const int n = 40;
        double[] left = new double[n * n], right = new double[n * n], rest = new double[n * n], s = new double[n];
        Qr.Decompose<double>(Matrices.Random(n, n, 1), n, n, left, rest);
        Qr.Decompose<double>(Matrices.Random(n, n, 2), n, n, right, rest);
        for (int j = 0; j < n; j++) s[j] = Math.Pow(10, -12.0 * j / (n - 1));
        double[] a = Matrices.Multiply(Matrices.ScaleColumns(left, s), right, n, n, n);
        Matrices.Close(s, CheckIdentities(a, n, n), 3e-15);
    }

    [Fact]
    public void DiagonalMatricesKeepEvenTheSmallestValues()
    {
        (_, double[] s, _) = Decompose([0, 0, 1e-20, 0, -5, 0, 0, 0, 0, 0, 0, 1e-200], 3, 4);
        Assert.Equal([5, 1e-20, 1e-200], s);
    }

    [Fact]
    public void RepeatedValues()
    {
        const int n = 50;
        double[] q = new double[n * n], rest = new double[n * n];
        Qr.Decompose<double>(Matrices.Random(n, n, 7), n, n, q, rest);
        Matrices.Close([.. Enumerable.Repeat(1.0, n)], CheckIdentities(q, n, n), 1e-14);
    }

    [Fact]
    public void OutlierColumns()
    {
        double[] factors = new double[48];
        Array.Fill(factors, 1.0);
        factors[5] = 1e4;
        factors[20] = 1e-9;
        double[] a = Matrices.ScaleColumns(Matrices.Random(80, 48, 3), factors);
        Matrices.Close(Matrices.ToOracle(a, 80, 48).Svd(false).S.ToArray(), CheckIdentities(a, 80, 48), 1e-8);
    }

    [Theory]
    [InlineData(70, 70)]
    [InlineData(100, 20)]
    [InlineData(20, 100)]
    public void SinglePrecision(int rows, int columns)
    {
        int k = Math.Min(rows, columns);
        double[] a = Matrices.Random(rows, columns, 4);
        float[] u = new float[rows * k], s = new float[k], vt = new float[k * columns];
        Svd.Decompose<float>(Matrices.ToSingle(a), rows, columns, u, s, vt);
        Matrices.Close(Decompose(a, rows, columns).S, Matrices.ToDouble(s), 3e-5);
        Matrices.OrthonormalColumns(Matrices.ToDouble(u), rows, k, 2e-6);
        Matrices.OrthonormalColumns(Matrices.Transpose(Matrices.ToDouble(vt), k, columns), columns, k, 2e-6);
    }

    [Fact]
    public void TheBestApproximationOfARankIsTheTruncation()
    {
        // Eckart and Young: the squared error of rank r is the sum of the squares left out.
        double[] a = Matrices.Random(30, 22, 12);
        (double[] u, double[] s, double[] vt) = Decompose(a, 30, 22);
        double[] kept = [.. s.Select((value, j) => j < 6 ? value : 0)];
        double[] low = Matrices.Multiply(Matrices.ScaleColumns(u, kept), vt, 30, 22, 22);
        double error = a.Zip(low, (x, y) => (x - y) * (x - y)).Sum();
        Assert.Equal(s[6..].Sum(value => value * value), error, 1e-10);
    }

    [Fact]
    public void InfinityIsRefused() => Assert.Throws<ArgumentException>(() => Decompose([1, double.NegativeInfinity], 1, 2));
}
