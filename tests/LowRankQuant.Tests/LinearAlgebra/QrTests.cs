using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

public class QrTests
{
    public static TheoryData<int, int> Shapes => Matrices.Shapes;

    private static (double[] Q, double[] R) Decompose(double[] a, int rows, int columns)
    {
        int k = Math.Min(rows, columns);
        double[] q = new double[rows * k], r = new double[k * columns];
        Qr.Decompose<double>(a, rows, columns, q, r);
        return (q, r);
    }

    private static void CheckIdentities(double[] a, int rows, int columns)
    {
        int k = Math.Min(rows, columns);
        (double[] q, double[] r) = Decompose(a, rows, columns);
        Matrices.OrthonormalColumns(q, rows, k);
        Matrices.Close(a, Matrices.Multiply(q, r, rows, k, columns), 1e-14 * Math.Max(rows, columns) * Matrices.MaxAbs(a));
        for (int i = 0; i < k; i++)
        {
            Assert.True(r[(i * columns) + i] >= 0);
            for (int j = 0; j < i; j++) Assert.Equal(0, r[(i * columns) + j]);
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void QIsOrthonormalAndTheProductIsTheMatrix(int rows, int columns) =>
        CheckIdentities(Matrices.Random(rows, columns, rows + columns), rows, columns);

    // The oracle decomposes tall matrices only.
    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 1)]
    [InlineData(5, 3)]
    [InlineData(65, 65)]
    [InlineData(130, 67)]
    [InlineData(200, 31)]
    public void TheTriangleIsTheOraclesUpToSigns(int rows, int columns)
    {
        double[] a = Matrices.Random(rows, columns, rows - columns);
        double[] expected = Matrices.ToOracle(a, rows, columns).QR(MathNet.Numerics.LinearAlgebra.Factorization.QRMethod.Thin).R.ToRowMajorArray();
        for (int i = 0; i < columns; i++)
        {
            if (expected[(i * columns) + i] >= 0) continue;
            for (int j = 0; j < columns; j++) expected[(i * columns) + j] *= -1;
        }
        Matrices.Close(expected, Decompose(a, rows, columns).R, 1e-12);
    }

    [Theory]
    [InlineData(40, 12, 5)]
    [InlineData(12, 40, 5)]
    [InlineData(30, 30, 0)]
    [InlineData(30, 30, 29)]
    public void AMatrixWithoutFullRankStillGivesAnOrthonormalBasis(int rows, int columns, int rank) =>
        CheckIdentities(Matrices.OfRank(rows, columns, rank, 4), rows, columns);

    [Theory]
    [InlineData(1e-300)]
    [InlineData(1e300)]
    [InlineData(5e-324)]
    public void TinyAndHugeMatrices(double factor)
    {
        double[] unit = Matrices.Random(20, 9, 1), a = [.. unit.Select(value => value * factor)];
        (double[] q, double[] r) = Decompose(a, 20, 9);
        Matrices.OrthonormalColumns(q, 20, 9);
        // Subnormal results are rounded to whole multiples of the smallest number.
        Matrices.Close(a, Matrices.Multiply(q, r, 20, 9, 9), Math.Max(1e-13 * factor, 9 * double.Epsilon));
    }

    [Fact]
    public void ColumnsOfVeryDifferentLength()
    {
        double[] a = Matrices.ScaleColumns(Matrices.Random(25, 4, 2), [1, 1e-200, 1e200, 1e-305]);
        (double[] q, double[] r) = Decompose(a, 25, 4);
        Matrices.OrthonormalColumns(q, 25, 4);
        Matrices.Close(a, Matrices.Multiply(q, r, 25, 4, 4), 1e186);
    }

    [Fact]
    public void SinglePrecision()
    {
        double[] a = Matrices.Random(90, 33, 6);
        float[] q = new float[90 * 33], r = new float[33 * 33];
        Qr.Decompose<float>(Matrices.ToSingle(a), 90, 33, q, r);
        Matrices.OrthonormalColumns(Matrices.ToDouble(q), 90, 33, 1e-6);
        Matrices.Close(a, Matrices.Multiply(Matrices.ToDouble(q), Matrices.ToDouble(r), 90, 33, 33), 1e-5);
    }

    [Fact]
    public void NotANumberIsNamed()
    {
        double[] a = new double[6];
        a[5] = double.NaN;
        ArgumentException thrown = Assert.Throws<ArgumentException>(() => Decompose(a, 3, 2));
        Assert.Contains("row 2, column 1", thrown.Message);
    }
}
