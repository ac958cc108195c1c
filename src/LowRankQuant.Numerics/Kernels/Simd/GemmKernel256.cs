using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>6 x 16 tile: 12 of the 16 registers hold sums.</summary>
internal readonly unsafe struct GemmKernel256 : IGemmKernel
{
    public static int Rows => 6;

    public static int Columns => 16;

    public static int Lanes => 8;

    public static int InnerBlock => 384;

    public static int RowBlock => 96;

    // Every sum has a name of its own: an array or a span would be kept in memory instead of registers.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        Vector256<float> c0a = Vector256<float>.Zero, c0b = Vector256<float>.Zero;
        Vector256<float> c1a = Vector256<float>.Zero, c1b = Vector256<float>.Zero;
        Vector256<float> c2a = Vector256<float>.Zero, c2b = Vector256<float>.Zero;
        Vector256<float> c3a = Vector256<float>.Zero, c3b = Vector256<float>.Zero;
        Vector256<float> c4a = Vector256<float>.Zero, c4b = Vector256<float>.Zero;
        Vector256<float> c5a = Vector256<float>.Zero, c5b = Vector256<float>.Zero;
        GemmPrefetch.Rows(c, ldc, 6, 16);
        float* end = a + ((nint)k * 6);
        for (; a < end; a += 6, b += 16)
        {
            Vector256<float> ba = Vector256.Load(b), bb = Vector256.Load(b + 8);
            Vector256<float> x = Vector256.Create(a[0]);
            c0a = Fma.MultiplyAdd(x, ba, c0a);
            c0b = Fma.MultiplyAdd(x, bb, c0b);
            x = Vector256.Create(a[1]);
            c1a = Fma.MultiplyAdd(x, ba, c1a);
            c1b = Fma.MultiplyAdd(x, bb, c1b);
            x = Vector256.Create(a[2]);
            c2a = Fma.MultiplyAdd(x, ba, c2a);
            c2b = Fma.MultiplyAdd(x, bb, c2b);
            x = Vector256.Create(a[3]);
            c3a = Fma.MultiplyAdd(x, ba, c3a);
            c3b = Fma.MultiplyAdd(x, bb, c3b);
            x = Vector256.Create(a[4]);
            c4a = Fma.MultiplyAdd(x, ba, c4a);
            c4b = Fma.MultiplyAdd(x, bb, c4b);
            x = Vector256.Create(a[5]);
            c5a = Fma.MultiplyAdd(x, ba, c5a);
            c5b = Fma.MultiplyAdd(x, bb, c5b);
        }
        Finish(c, c0a, accumulate);
        Finish(c + 8, c0b, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + ldc + 8, c1b, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (2 * ldc) + 8, c2b, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (3 * ldc) + 8, c3b, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (4 * ldc) + 8, c4b, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
        Finish(c + (5 * ldc) + 8, c5b, accumulate);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void NarrowTile(int k, float* a, float* b, float* c, nint ldc, int columns, bool accumulate)
    {
        if (columns > 8)
        {
            Tile(k, a, b, c, ldc, accumulate);
            return;
        }
        Vector256<float> c0a = Vector256<float>.Zero;
        Vector256<float> c1a = Vector256<float>.Zero;
        Vector256<float> c2a = Vector256<float>.Zero;
        Vector256<float> c3a = Vector256<float>.Zero;
        Vector256<float> c4a = Vector256<float>.Zero;
        Vector256<float> c5a = Vector256<float>.Zero;
        float* end = a + ((nint)k * 6);
        for (; a < end; a += 6, b += 16)
        {
            Vector256<float> ba = Vector256.Load(b);
            Vector256<float> x = Vector256.Create(a[0]);
            c0a = Fma.MultiplyAdd(x, ba, c0a);
            x = Vector256.Create(a[1]);
            c1a = Fma.MultiplyAdd(x, ba, c1a);
            x = Vector256.Create(a[2]);
            c2a = Fma.MultiplyAdd(x, ba, c2a);
            x = Vector256.Create(a[3]);
            c3a = Fma.MultiplyAdd(x, ba, c3a);
            x = Vector256.Create(a[4]);
            c4a = Fma.MultiplyAdd(x, ba, c4a);
            x = Vector256.Create(a[5]);
            c5a = Fma.MultiplyAdd(x, ba, c5a);
        }
        Finish(c, c0a, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* c, Vector256<float> value, bool accumulate)
    {
        if (accumulate) value += Vector256.Load(c);
        value.Store(c);
    }
}
