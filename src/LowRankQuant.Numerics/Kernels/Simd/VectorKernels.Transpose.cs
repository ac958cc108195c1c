using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Transposed copies of small matrices.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>y [columns, yStride] = x [rows, stride] transposed; what lies in y beyond the rows is left as it is.</summary>
    private static void Transpose(float* x, int rows, int columns, int stride, float* y, int yStride)
    {
        int squareRows = Sse.IsSupported ? rows / 4 * 4 : 0, squareColumns = columns / 4 * 4;
        for (int r = 0; r < squareRows; r += 4)
        {
            for (int c = 0; c < squareColumns; c += 4) Transpose4(x + (r * stride) + c, stride, y + (c * yStride) + r, yStride);
            TransposeElements(x + (r * stride) + squareColumns, 4, columns - squareColumns, stride, y + (squareColumns * yStride) + r, yStride);
        }
        TransposeElements(x + (squareRows * stride), rows - squareRows, columns, stride, y + squareRows, yStride);
    }

    private static void Transpose4(float* x, int stride, float* y, int yStride)
    {
        Vector128<float> r0 = Vector128.Load(x), r1 = Vector128.Load(x + stride), r2 = Vector128.Load(x + (2 * stride)), r3 = Vector128.Load(x + (3 * stride));
        Vector128<float> low0 = Sse.UnpackLow(r0, r1), low1 = Sse.UnpackLow(r2, r3), high0 = Sse.UnpackHigh(r0, r1), high1 = Sse.UnpackHigh(r2, r3);
        Sse.MoveLowToHigh(low0, low1).Store(y);
        Sse.MoveHighToLow(low1, low0).Store(y + yStride);
        Sse.MoveLowToHigh(high0, high1).Store(y + (2 * yStride));
        Sse.MoveHighToLow(high1, high0).Store(y + (3 * yStride));
    }

    private static void TransposeElements(float* x, int rows, int columns, int stride, float* y, int yStride)
    {
        for (int c = 0; c < columns; c++)
        {
            for (int r = 0; r < rows; r++) y[(c * yStride) + r] = x[(r * stride) + c];
        }
    }
}
