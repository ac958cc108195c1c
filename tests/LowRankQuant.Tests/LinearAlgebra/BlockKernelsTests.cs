using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

/// <summary>The unchecked tiles against the obvious loops, inside larger matrices whose other elements must stay as they are.</summary>
public class BlockKernelsTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(4, 8, 5)]
    [InlineData(5, 9, 3)]
    [InlineData(7, 17, 300)]
    [InlineData(12, 2, 257)]
    [InlineData(3, 33, 64)]
    [InlineData(131, 49, 130)]
    [InlineData(6, 483, 129)]
    [InlineData(140, 970, 5)]
    public void BothProductsMatchTheTripleLoop(int rows, int columns, int depth)
    {
        const int pad = 3;
        double[] a = Matrices.Random(rows, depth, 1), b = Matrices.Random(depth, columns, 2), product = Matrices.Multiply(a, b, rows, depth, columns);
        int stride = columns + pad;
        double[] start = Matrices.Random(rows, stride, 3), expected = [.. start];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++) expected[(i * stride) + j] -= product[(i * columns) + j];
        }

        double[] c = [.. start];
        BlockKernels.AddProduct<double>(c, stride, a, depth, 1, b, columns, rows, columns, depth, -1);
        Matrices.Close(expected, c, 1e-12);

        c = [.. start];
        BlockKernels.AddProduct<double>(c, stride, Matrices.Transpose(a, rows, depth), 1, rows, b, columns, rows, columns, depth, -1);
        Matrices.Close(expected, c, 1e-12);

        c = [.. start];
        BlockKernels.AddProductTransposed<double>(c, stride, a, depth, Matrices.Transpose(b, depth, columns), depth, rows, columns, depth, -1);
        Matrices.Close(expected, c, 1e-12);
    }

    [Fact]
    public void OperandsThatAreTooShortAreRefused()
    {
        Assert.Throws<ArgumentException>(() => BlockKernels.AddProduct<double>(new double[8], 4, new double[4], 2, 1, new double[7], 4, 2, 4, 2, 1));
        Assert.Throws<ArgumentException>(
            () => BlockKernels.AddProductTransposed<double>(new double[3], 2, new double[4], 2, new double[4], 2, 2, 2, 2, 1));
    }
}
