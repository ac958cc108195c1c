using MathNet.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

/// <summary>Plain row-major matrices for tests: generators, textbook products and distances.</summary>
internal static class Matrices
{
    /// <summary>Shapes with odd sizes, single rows and columns, block edges (64) and beyond.</summary>
    public static TheoryData<int, int> Shapes => new()
    {
        { 1, 1 }, { 1, 7 }, { 7, 1 }, { 2, 2 }, { 5, 3 }, { 3, 5 }, { 17, 17 },
        { 64, 64 }, { 65, 65 }, { 33, 130 }, { 130, 67 }, { 200, 31 }, { 9, 257 },
    };

    public static TheoryData<int> Sizes => new() { 1, 2, 3, 4, 7, 16, 33, 63, 64, 65, 100, 129, 200 };

    public static double[] Random(int rows, int columns, int seed)
    {
        Random random = new(seed);
        double[] matrix = new double[rows * columns];
        for (int i = 0; i < matrix.Length; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            matrix[i] = radius * Math.Cos(2 * Math.PI * random.NextDouble());
        }
        return matrix;
    }

    public static double[] Symmetric(int n, int seed)
    {
        double[] matrix = Random(n, n, seed);
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < i; j++) matrix[(j * n) + i] = matrix[(i * n) + j];
        }
        return matrix;
    }

    /// <summary>G G^T / n + diagonal: well conditioned.</summary>
    public static double[] PositiveDefinite(int n, int seed, double diagonal = 0.1)
    {
        double[] g = Random(n, n, seed);
        double[] matrix = Multiply(g, Transpose(g, n, n), n, n, n);
        for (int i = 0; i < matrix.Length; i++) matrix[i] /= n;
        for (int i = 0; i < n; i++) matrix[(i * n) + i] += diagonal;
        return matrix;
    }

    public static double[] OfRank(int rows, int columns, int rank, int seed) =>
        Multiply(Random(rows, rank, seed), Random(rank, columns, seed + 1), rows, rank, columns);

    public static double[] Identity(int n)
    {
        double[] matrix = new double[n * n];
        for (int i = 0; i < n; i++) matrix[(i * n) + i] = 1;
        return matrix;
    }

    public static double[] Transpose(double[] a, int rows, int columns)
    {
        double[] result = new double[a.Length];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++) result[(j * rows) + i] = a[(i * columns) + j];
        }
        return result;
    }

    /// <summary>The obvious triple loop: A [rows, inner] times B [inner, columns].</summary>
    public static double[] Multiply(double[] a, double[] b, int rows, int inner, int columns)
    {
        double[] result = new double[rows * columns];
        for (int i = 0; i < rows; i++)
        {
            for (int k = 0; k < inner; k++)
            {
                for (int j = 0; j < columns; j++) result[(i * columns) + j] += a[(i * inner) + k] * b[(k * columns) + j];
            }
        }
        return result;
    }

    public static double[] ScaleColumns(double[] a, double[] factors) => [.. a.Select((value, i) => value * factors[i % factors.Length])];

    public static double MaxAbs(double[] a) => a.Length == 0 ? 0 : a.Max(Math.Abs);

    /// <summary>Asserts |actual - expected| &lt;= tolerance for every element.</summary>
    public static void Close(double[] expected, double[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            // Negated so that NaN fails.
            if (!(Math.Abs(expected[i] - actual[i]) <= tolerance))
                Assert.Fail($"Element {i}: expected {expected[i]:R}, was {actual[i]:R}, tolerance {tolerance:R}.");
        }
    }

    /// <summary>Asserts that the columns of A [rows, columns] are orthonormal.</summary>
    public static void OrthonormalColumns(double[] a, int rows, int columns, double tolerance = 1e-13) =>
        Close(Identity(columns), Multiply(Transpose(a, rows, columns), a, columns, rows, columns), tolerance * Math.Max(1, Math.Sqrt(rows)));

    public static Matrix<double> ToOracle(double[] a, int rows, int columns) => Matrix<double>.Build.DenseOfRowMajor(rows, columns, a);

    public static float[] ToSingle(double[] a) => [.. a.Select(value => (float)value)];

    public static double[] ToDouble(float[] a) => [.. a.Select(value => (double)value)];
}
