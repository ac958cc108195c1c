using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>4 x 2 tile without vectors, for processors (or runtime settings) that have none.</summary>
internal readonly unsafe struct GemmKernelScalar : IGemmKernel
{
    public static int Rows => 4;

    public static int Columns => 2;

    public static int Lanes => 2;

    public static int InnerBlock => 384;

    public static int RowBlock => 96;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        float c0a = 0, c0b = 0, c1a = 0, c1b = 0, c2a = 0, c2b = 0, c3a = 0, c3b = 0;
        for (int p = 0; p < k; p++, a += 4, b += 2)
        {
            float ba = b[0], bb = b[1];
            c0a += a[0] * ba;
            c0b += a[0] * bb;
            c1a += a[1] * ba;
            c1b += a[1] * bb;
            c2a += a[2] * ba;
            c2b += a[2] * bb;
            c3a += a[3] * ba;
            c3b += a[3] * bb;
        }
        Finish(c, c0a, c0b, accumulate);
        Finish(c + ldc, c1a, c1b, accumulate);
        Finish(c + (2 * ldc), c2a, c2b, accumulate);
        Finish(c + (3 * ldc), c3a, c3b, accumulate);
    }

    public static void NarrowTile(int k, float* a, float* b, float* c, nint ldc, int columns, bool accumulate) => Tile(k, a, b, c, ldc, accumulate);

    private static void Finish(float* c, float v0, float v1, bool accumulate)
    {
        c[0] = accumulate ? c[0] + v0 : v0;
        c[1] = accumulate ? c[1] + v1 : v1;
    }
}
