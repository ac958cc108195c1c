using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>6 x 8 tile of 128-bit vectors, for NEON and for old x86 processors; 12 of 16 registers hold sums.</summary>
internal readonly unsafe struct GemmKernel128 : IGemmKernel
{
    public static int Rows => 6;

    public static int Columns => 8;

    public static int Lanes => 4;

    public static int InnerBlock => 384;

    public static int RowBlock => 96;

    // Every sum has a name of its own: an array or a span would be kept in memory instead of registers.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        Vector128<float> c0a = Vector128<float>.Zero, c0b = Vector128<float>.Zero;
        Vector128<float> c1a = Vector128<float>.Zero, c1b = Vector128<float>.Zero;
        Vector128<float> c2a = Vector128<float>.Zero, c2b = Vector128<float>.Zero;
        Vector128<float> c3a = Vector128<float>.Zero, c3b = Vector128<float>.Zero;
        Vector128<float> c4a = Vector128<float>.Zero, c4b = Vector128<float>.Zero;
        Vector128<float> c5a = Vector128<float>.Zero, c5b = Vector128<float>.Zero;
        GemmPrefetch.Rows(c, ldc, 6, 8);
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
        Finish(c, c0a, accumulate);
        Finish(c + 4, c0b, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + ldc + 4, c1b, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (2 * ldc) + 4, c2b, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (3 * ldc) + 4, c3b, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (4 * ldc) + 4, c4b, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
        Finish(c + (5 * ldc) + 4, c5b, accumulate);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void NarrowTile(int k, float* a, float* b, float* c, nint ldc, int columns, bool accumulate)
    {
        if (columns > 4)
        {
            Tile(k, a, b, c, ldc, accumulate);
            return;
        }
        Vector128<float> c0a = Vector128<float>.Zero;
        Vector128<float> c1a = Vector128<float>.Zero;
        Vector128<float> c2a = Vector128<float>.Zero;
        Vector128<float> c3a = Vector128<float>.Zero;
        Vector128<float> c4a = Vector128<float>.Zero;
        Vector128<float> c5a = Vector128<float>.Zero;
        float* end = a + ((nint)k * 6);
        for (; a < end; a += 6, b += 8)
        {
            Vector128<float> ba = Vector128.Load(b);
            Vector128<float> x = Vector128.Create(a[0]);
            c0a = Vector128.MultiplyAddEstimate(x, ba, c0a);
            x = Vector128.Create(a[1]);
            c1a = Vector128.MultiplyAddEstimate(x, ba, c1a);
            x = Vector128.Create(a[2]);
            c2a = Vector128.MultiplyAddEstimate(x, ba, c2a);
            x = Vector128.Create(a[3]);
            c3a = Vector128.MultiplyAddEstimate(x, ba, c3a);
            x = Vector128.Create(a[4]);
            c4a = Vector128.MultiplyAddEstimate(x, ba, c4a);
            x = Vector128.Create(a[5]);
            c5a = Vector128.MultiplyAddEstimate(x, ba, c5a);
        }
        Finish(c, c0a, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* c, Vector128<float> value, bool accumulate)
    {
        if (accumulate) value += Vector128.Load(c);
        value.Store(c);
    }
}
