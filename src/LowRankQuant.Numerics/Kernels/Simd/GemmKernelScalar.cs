using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>4 x 4 tile without vectors, for processors (or runtime settings) that have none.</summary>
internal readonly unsafe struct GemmKernelScalar : IGemmKernel
{
    public static int Rows => 4;

    public static int Columns => 4;

    public static int InnerBlock => 384;

    public static int RowBlock => 96;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        // Two columns at a time: eight sums fit the registers.
        for (int j = 0; j < 4; j += 2)
        {
            float c0a = 0, c0b = 0, c1a = 0, c1b = 0, c2a = 0, c2b = 0, c3a = 0, c3b = 0;
            float* left = a, right = b + j;
            for (int p = 0; p < k; p++, left += 4, right += 4)
            {
                float ba = right[0], bb = right[1];
                c0a += left[0] * ba;
                c0b += left[0] * bb;
                c1a += left[1] * ba;
                c1b += left[1] * bb;
                c2a += left[2] * ba;
                c2b += left[2] * bb;
                c3a += left[3] * ba;
                c3b += left[3] * bb;
            }
            Finish(c + j, c0a, c0b, accumulate);
            Finish(c + j + ldc, c1a, c1b, accumulate);
            Finish(c + j + (2 * ldc), c2a, c2b, accumulate);
            Finish(c + j + (3 * ldc), c3a, c3b, accumulate);
        }
    }

    private static void Finish(float* c, float v0, float v1, bool accumulate)
    {
        c[0] = accumulate ? c[0] + v0 : v0;
        c[1] = accumulate ? c[1] + v1 : v1;
    }
}
