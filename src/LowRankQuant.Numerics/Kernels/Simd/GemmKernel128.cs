using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>6 x 8 tile of 128-bit vectors, for NEON and for old x86 processors; 12 of 16 registers hold sums.</summary>
internal readonly unsafe struct GemmKernel128 : IGemmKernel
{
    public static int Rows => 6;

    public static int Columns => 8;

    public static int InnerBlock => 384;

    public static int RowBlock => 96;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        Vector128<float> c0a = Vector128<float>.Zero, c0b = Vector128<float>.Zero;
        Vector128<float> c1a = Vector128<float>.Zero, c1b = Vector128<float>.Zero;
        Vector128<float> c2a = Vector128<float>.Zero, c2b = Vector128<float>.Zero;
        Vector128<float> c3a = Vector128<float>.Zero, c3b = Vector128<float>.Zero;
        Vector128<float> c4a = Vector128<float>.Zero, c4b = Vector128<float>.Zero;
        Vector128<float> c5a = Vector128<float>.Zero, c5b = Vector128<float>.Zero;
        float* end = a + ((nint)k * 6);
        for (; a < end; a += 6, b += 8)
        {
            Vector128<float> ba = Vector128.Load(b), bb = Vector128.Load(b + 4);
            Vector128<float> x = Vector128.Create(a[0]);
            c0a = Vector128.MultiplyAddEstimate(x, ba, c0a);
            c0b = Vector128.MultiplyAddEstimate(x, bb, c0b);
            x = Vector128.Create(a[1]);
            c1a = Vector128.MultiplyAddEstimate(x, ba, c1a);
            c1b = Vector128.MultiplyAddEstimate(x, bb, c1b);
            x = Vector128.Create(a[2]);
            c2a = Vector128.MultiplyAddEstimate(x, ba, c2a);
            c2b = Vector128.MultiplyAddEstimate(x, bb, c2b);
            x = Vector128.Create(a[3]);
            c3a = Vector128.MultiplyAddEstimate(x, ba, c3a);
            c3b = Vector128.MultiplyAddEstimate(x, bb, c3b);
            x = Vector128.Create(a[4]);
            c4a = Vector128.MultiplyAddEstimate(x, ba, c4a);
            c4b = Vector128.MultiplyAddEstimate(x, bb, c4b);
            x = Vector128.Create(a[5]);
            c5a = Vector128.MultiplyAddEstimate(x, ba, c5a);
            c5b = Vector128.MultiplyAddEstimate(x, bb, c5b);
        }
        Finish(c, c0a, c0b, accumulate);
        Finish(c + ldc, c1a, c1b, accumulate);
        Finish(c + (2 * ldc), c2a, c2b, accumulate);
        Finish(c + (3 * ldc), c3a, c3b, accumulate);
        Finish(c + (4 * ldc), c4a, c4b, accumulate);
        Finish(c + (5 * ldc), c5a, c5b, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* c, Vector128<float> v0, Vector128<float> v1, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector128.Load(c);
            v1 += Vector128.Load(c + 4);
        }
        v0.Store(c);
        v1.Store(c + 4);
    }
}
