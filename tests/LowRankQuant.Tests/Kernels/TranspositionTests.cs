using LowRankQuant.Numerics.Kernels.Simd;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Blocks of all sizes around whole squares, and nothing beside them.</summary>
public unsafe class TranspositionTests
{
    [Fact]
    public void EveryElementFindsItsPlaceAndNoOtherIsTouched()
    {
        const int xStride = 11, yStride = 13;
        var x = new float[10 * xStride];
        for (int i = 0; i < x.Length; i++) x[i] = i + 1;
        for (int rows = 1; rows <= 9; rows++)
        {
            for (int columns = 1; columns <= 10; columns++)
            {
                var y = new float[11 * yStride];
                fixed (float* from = x, to = y) Transposition.Transpose(from, xStride, rows, columns, to, yStride);
                for (int i = 0; i < y.Length; i++)
                {
                    int row = i % yStride, column = i / yStride;
                    Assert.Equal(row < rows && column < columns ? x[(row * xStride) + column] : 0, y[i]);
                }
            }
        }
    }
}
