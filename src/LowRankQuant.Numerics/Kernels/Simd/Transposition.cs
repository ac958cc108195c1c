using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Transposition of blocks that lie in the nearest caches, four by four where the processor can.</summary>
internal static unsafe class Transposition
{
    /// <summary>y[c * yStride + r] = x[r * xStride + c] for all r below rows and c below columns.</summary>
    public static void Transpose(float* x, long xStride, int rows, int columns, float* y, long yStride)
    {
        int wholeRows = Sse.IsSupported ? rows & ~3 : 0, wholeColumns = columns & ~3;

        // Rows far apart, often by a power of two, keep each other out of the nearest cache: they are passed over once.
        if (xStride >= yStride)
        {
            for (int r = 0; r < wholeRows; r += 4)
            {
                for (int c = 0; c < wholeColumns; c += 4) Square(x + (r * xStride) + c, xStride, y + (c * yStride) + r, yStride);
            }
        }
        else
        {
            for (int c = 0; c < wholeColumns; c += 4)
            {
                for (int r = 0; r < wholeRows; r += 4) Square(x + (r * xStride) + c, xStride, y + (c * yStride) + r, yStride);
            }
        }
        for (int c = wholeColumns; c < columns; c++) Column(x + c, xStride, wholeRows, y + (c * yStride));
        for (int c = 0; c < columns; c++) Column(x + (wholeRows * xStride) + c, xStride, rows - wholeRows, y + (c * yStride) + wholeRows);
    }

    private static void Column(float* x, long xStride, int rows, float* y)
    {
        for (int r = 0; r < rows; r++) y[r] = x[r * xStride];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Square(float* x, long xStride, float* y, long yStride)
    {
        Vector128<float> a = Vector128.Load(x), b = Vector128.Load(x + xStride), c = Vector128.Load(x + (2 * xStride)), d = Vector128.Load(x + (3 * xStride));
        Vector128<float> ab0 = Sse.UnpackLow(a, b), ab2 = Sse.UnpackHigh(a, b), cd0 = Sse.UnpackLow(c, d), cd2 = Sse.UnpackHigh(c, d);
        Sse.MoveLowToHigh(ab0, cd0).Store(y);
        Sse.MoveHighToLow(cd0, ab0).Store(y + yStride);
        Sse.MoveLowToHigh(ab2, cd2).Store(y + (2 * yStride));
        Sse.MoveHighToLow(cd2, ab2).Store(y + (3 * yStride));
    }
}
