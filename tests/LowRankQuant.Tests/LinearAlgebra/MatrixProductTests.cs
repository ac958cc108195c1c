using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

/// <summary>Whole products and quadratic forms, in shapes that are cut into several tiles each way.</summary>
public sealed class MatrixProductTests : IDisposable
{
    private readonly WorkerPool _one = new(1), _three = new(3);

    public void Dispose()
    {
        _one.Dispose();
        _three.Dispose();
    }

    [Theory]
    [InlineData(2, 3, 1)]
    [InlineData(70, 0, 500)]
    [InlineData(65, 40, 500)]
    [InlineData(3, 300, 970)]
    [InlineData(2100, 5, 30)]
    public void ProductsAreTheTripleLoopOnAnyNumberOfThreads(int rows, int depth, int columns)
    {
        double[] a = Matrices.Random(rows, depth, 1), b = Matrices.Random(depth, columns, 2), expected = Matrices.Multiply(a, b, rows, depth, columns);
        double[] aTransposed = Matrices.Transpose(a, rows, depth), bTransposed = Matrices.Transpose(b, depth, columns);
        Check((c, accumulate, workers) => MatrixProduct.Multiply(a, b, c, rows, depth, columns, workers, accumulate));
        Check((c, accumulate, workers) => MatrixProduct.MultiplyTransposed(a, bTransposed, c, rows, depth, columns, workers, accumulate));
        Check((c, accumulate, workers) => MatrixProduct.TransposedMultiply(aTransposed, b, c, rows, depth, columns, workers, accumulate));

        void Check(Action<double[], bool, WorkerPool> multiply)
        {
            // What was there before is overwritten, or added to.
            double[] before = Matrices.Random(rows, columns, 3), one = [.. before], three = [.. before];
            multiply(one, false, _one);
            multiply(three, false, _three);
            Matrices.Close(expected, one, 1e-11);
            Assert.Equal(one, three);
            three = [.. before];
            multiply(three, true, _three);
            Matrices.Close([.. expected.Zip(before, (x, y) => x + y)], three, 1e-11);
        }
    }

    [Theory]
    [InlineData(3, 7)]
    [InlineData(20, 500)]
    [InlineData(1030, 33)]
    public void QuadraticFormsAreTheDoubleSum(int rows, int n)
    {
        double[] h = Matrices.PositiveDefinite(n, 4), d = Matrices.Random(rows, n, 5), image = Matrices.Multiply(d, h, rows, n, n);
        double[] energies = QuadraticForm.Rows(d, h, rows, n, _three);
        Assert.Equal(energies, QuadraticForm.Rows(d, h, rows, n, _one));
        for (int row = 0; row < rows; row++)
        {
            double expected = 0;
            for (int i = 0; i < n; i++) expected += image[(row * n) + i] * d[(row * n) + i];
            Assert.Equal(expected, energies[row], 1e-11 * expected);
        }
    }

    [Fact]
    public void ABlockOfALargerMatrixHasAFormOfItsOwn()
    {
        const int n = 40, start = 9, size = 17, count = 6;
        double[] h = Matrices.PositiveDefinite(n, 6), d = Matrices.Random(count, size, 7), energies = new double[count];
        QuadraticForm.OfBlock(h.AsSpan((start * n) + start), n, d, count, size, new double[count * size], energies);
        for (int vector = 0; vector < count; vector++)
        {
            double expected = 0;
            for (int i = 0; i < size; i++)
            {
                for (int j = 0; j < size; j++) expected += d[(vector * size) + i] * h[((start + i) * n) + start + j] * d[(vector * size) + j];
            }
            Assert.Equal(expected, energies[vector], 1e-12 * expected);
        }
    }
}
