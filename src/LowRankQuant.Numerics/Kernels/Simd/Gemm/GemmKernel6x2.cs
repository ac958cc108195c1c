using System.Runtime.CompilerServices;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>A tile of 6 rows and two vectors, for processors with 16 registers (AVX2, SSE; NEON has more): 12 of them hold sums.</summary>
internal readonly unsafe struct GemmKernel6x2<V> : IGemmKernel
    where V : struct, IVector<V>
{
    public static int Rows => 6;

    public static int Columns => 2 * V.Count;

    public static int Lanes => V.Count;

    public static int InnerBlock => 384;

    public static int RowBlock => 96;

    // Every sum has a name of its own: an array or a span would be kept in memory instead of registers.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        V c0a = V.Zero, c0b = V.Zero;
        V c1a = V.Zero, c1b = V.Zero;
        V c2a = V.Zero, c2b = V.Zero;
        V c3a = V.Zero, c3b = V.Zero;
        V c4a = V.Zero, c4b = V.Zero;
        V c5a = V.Zero, c5b = V.Zero;
        GemmPrefetch.Rows(c, ldc, 6, Columns);
        float* end = a + ((nint)k * 6);
        for (; a < end; a += 6, b += 2 * V.Count)
        {
            V ba = V.Load(b), bb = V.Load(b + V.Count);
            V x = V.Create(a[0]);
            c0a = V.MultiplyAdd(x, ba, c0a);
            c0b = V.MultiplyAdd(x, bb, c0b);
            x = V.Create(a[1]);
            c1a = V.MultiplyAdd(x, ba, c1a);
            c1b = V.MultiplyAdd(x, bb, c1b);
            x = V.Create(a[2]);
            c2a = V.MultiplyAdd(x, ba, c2a);
            c2b = V.MultiplyAdd(x, bb, c2b);
            x = V.Create(a[3]);
            c3a = V.MultiplyAdd(x, ba, c3a);
            c3b = V.MultiplyAdd(x, bb, c3b);
            x = V.Create(a[4]);
            c4a = V.MultiplyAdd(x, ba, c4a);
            c4b = V.MultiplyAdd(x, bb, c4b);
            x = V.Create(a[5]);
            c5a = V.MultiplyAdd(x, ba, c5a);
            c5b = V.MultiplyAdd(x, bb, c5b);
        }
        Finish(c, c0a, accumulate);
        Finish(c + V.Count, c0b, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + ldc + V.Count, c1b, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (2 * ldc) + V.Count, c2b, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (3 * ldc) + V.Count, c3b, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (4 * ldc) + V.Count, c4b, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
        Finish(c + (5 * ldc) + V.Count, c5b, accumulate);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void NarrowTile(int k, float* a, float* b, float* c, nint ldc, int columns, bool accumulate)
    {
        if (columns > V.Count)
        {
            Tile(k, a, b, c, ldc, accumulate);
            return;
        }
        V c0a = V.Zero;
        V c1a = V.Zero;
        V c2a = V.Zero;
        V c3a = V.Zero;
        V c4a = V.Zero;
        V c5a = V.Zero;
        float* end = a + ((nint)k * 6);
        for (; a < end; a += 6, b += 2 * V.Count)
        {
            V ba = V.Load(b);
            V x = V.Create(a[0]);
            c0a = V.MultiplyAdd(x, ba, c0a);
            x = V.Create(a[1]);
            c1a = V.MultiplyAdd(x, ba, c1a);
            x = V.Create(a[2]);
            c2a = V.MultiplyAdd(x, ba, c2a);
            x = V.Create(a[3]);
            c3a = V.MultiplyAdd(x, ba, c3a);
            x = V.Create(a[4]);
            c4a = V.MultiplyAdd(x, ba, c4a);
            x = V.Create(a[5]);
            c5a = V.MultiplyAdd(x, ba, c5a);
        }
        Finish(c, c0a, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* c, V value, bool accumulate)
    {
        if (accumulate) value += V.Load(c);
        value.Store(c);
    }
}
