using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>8 x 48 tile: 24 of the 32 registers hold sums, so 11 loads feed 24 multiply-adds.</summary>
internal readonly unsafe struct GemmKernel512 : IGemmKernel
{
    public static int Rows => 8;

    public static int Columns => 48;

    public static int Lanes => 16;

    public static int InnerBlock => 384;

    public static int RowBlock => 192;

    // Every sum has a name of its own: an array or a span would be kept in memory instead of registers.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        Vector512<float> c0a = Vector512<float>.Zero, c0b = Vector512<float>.Zero, c0c = Vector512<float>.Zero;
        Vector512<float> c1a = Vector512<float>.Zero, c1b = Vector512<float>.Zero, c1c = Vector512<float>.Zero;
        Vector512<float> c2a = Vector512<float>.Zero, c2b = Vector512<float>.Zero, c2c = Vector512<float>.Zero;
        Vector512<float> c3a = Vector512<float>.Zero, c3b = Vector512<float>.Zero, c3c = Vector512<float>.Zero;
        Vector512<float> c4a = Vector512<float>.Zero, c4b = Vector512<float>.Zero, c4c = Vector512<float>.Zero;
        Vector512<float> c5a = Vector512<float>.Zero, c5b = Vector512<float>.Zero, c5c = Vector512<float>.Zero;
        Vector512<float> c6a = Vector512<float>.Zero, c6b = Vector512<float>.Zero, c6c = Vector512<float>.Zero;
        Vector512<float> c7a = Vector512<float>.Zero, c7b = Vector512<float>.Zero, c7c = Vector512<float>.Zero;
        GemmPrefetch.Rows(c, ldc, 8, 48);
        float* end = a + ((nint)k * 8);
        for (; a < end; a += 8, b += 48)
        {
            Vector512<float> ba = Vector512.Load(b), bb = Vector512.Load(b + 16), bc = Vector512.Load(b + 32);
            Vector512<float> x = Vector512.Create(a[0]);
            c0a = Avx512F.FusedMultiplyAdd(x, ba, c0a);
            c0b = Avx512F.FusedMultiplyAdd(x, bb, c0b);
            c0c = Avx512F.FusedMultiplyAdd(x, bc, c0c);
            x = Vector512.Create(a[1]);
            c1a = Avx512F.FusedMultiplyAdd(x, ba, c1a);
            c1b = Avx512F.FusedMultiplyAdd(x, bb, c1b);
            c1c = Avx512F.FusedMultiplyAdd(x, bc, c1c);
            x = Vector512.Create(a[2]);
            c2a = Avx512F.FusedMultiplyAdd(x, ba, c2a);
            c2b = Avx512F.FusedMultiplyAdd(x, bb, c2b);
            c2c = Avx512F.FusedMultiplyAdd(x, bc, c2c);
            x = Vector512.Create(a[3]);
            c3a = Avx512F.FusedMultiplyAdd(x, ba, c3a);
            c3b = Avx512F.FusedMultiplyAdd(x, bb, c3b);
            c3c = Avx512F.FusedMultiplyAdd(x, bc, c3c);
            x = Vector512.Create(a[4]);
            c4a = Avx512F.FusedMultiplyAdd(x, ba, c4a);
            c4b = Avx512F.FusedMultiplyAdd(x, bb, c4b);
            c4c = Avx512F.FusedMultiplyAdd(x, bc, c4c);
            x = Vector512.Create(a[5]);
            c5a = Avx512F.FusedMultiplyAdd(x, ba, c5a);
            c5b = Avx512F.FusedMultiplyAdd(x, bb, c5b);
            c5c = Avx512F.FusedMultiplyAdd(x, bc, c5c);
            x = Vector512.Create(a[6]);
            c6a = Avx512F.FusedMultiplyAdd(x, ba, c6a);
            c6b = Avx512F.FusedMultiplyAdd(x, bb, c6b);
            c6c = Avx512F.FusedMultiplyAdd(x, bc, c6c);
            x = Vector512.Create(a[7]);
            c7a = Avx512F.FusedMultiplyAdd(x, ba, c7a);
            c7b = Avx512F.FusedMultiplyAdd(x, bb, c7b);
            c7c = Avx512F.FusedMultiplyAdd(x, bc, c7c);
        }
        Finish(c, c0a, accumulate);
        Finish(c + 16, c0b, accumulate);
        Finish(c + 32, c0c, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + ldc + 16, c1b, accumulate);
        Finish(c + ldc + 32, c1c, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (2 * ldc) + 16, c2b, accumulate);
        Finish(c + (2 * ldc) + 32, c2c, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (3 * ldc) + 16, c3b, accumulate);
        Finish(c + (3 * ldc) + 32, c3c, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (4 * ldc) + 16, c4b, accumulate);
        Finish(c + (4 * ldc) + 32, c4c, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
        Finish(c + (5 * ldc) + 16, c5b, accumulate);
        Finish(c + (5 * ldc) + 32, c5c, accumulate);
        Finish(c + (6 * ldc), c6a, accumulate);
        Finish(c + (6 * ldc) + 16, c6b, accumulate);
        Finish(c + (6 * ldc) + 32, c6c, accumulate);
        Finish(c + (7 * ldc), c7a, accumulate);
        Finish(c + (7 * ldc) + 16, c7b, accumulate);
        Finish(c + (7 * ldc) + 32, c7c, accumulate);
    }

    public static void NarrowTile(int k, float* a, float* b, float* c, nint ldc, int columns, bool accumulate)
    {
        if (columns <= 16) Tile16(k, a, b, c, ldc, accumulate);
        else if (columns <= 32) Tile32(k, a, b, c, ldc, accumulate);
        else Tile(k, a, b, c, ldc, accumulate);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Tile16(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        Vector512<float> c0a = Vector512<float>.Zero;
        Vector512<float> c1a = Vector512<float>.Zero;
        Vector512<float> c2a = Vector512<float>.Zero;
        Vector512<float> c3a = Vector512<float>.Zero;
        Vector512<float> c4a = Vector512<float>.Zero;
        Vector512<float> c5a = Vector512<float>.Zero;
        Vector512<float> c6a = Vector512<float>.Zero;
        Vector512<float> c7a = Vector512<float>.Zero;
        float* end = a + ((nint)k * 8);
        for (; a < end; a += 8, b += 48)
        {
            Vector512<float> ba = Vector512.Load(b);
            Vector512<float> x = Vector512.Create(a[0]);
            c0a = Avx512F.FusedMultiplyAdd(x, ba, c0a);
            x = Vector512.Create(a[1]);
            c1a = Avx512F.FusedMultiplyAdd(x, ba, c1a);
            x = Vector512.Create(a[2]);
            c2a = Avx512F.FusedMultiplyAdd(x, ba, c2a);
            x = Vector512.Create(a[3]);
            c3a = Avx512F.FusedMultiplyAdd(x, ba, c3a);
            x = Vector512.Create(a[4]);
            c4a = Avx512F.FusedMultiplyAdd(x, ba, c4a);
            x = Vector512.Create(a[5]);
            c5a = Avx512F.FusedMultiplyAdd(x, ba, c5a);
            x = Vector512.Create(a[6]);
            c6a = Avx512F.FusedMultiplyAdd(x, ba, c6a);
            x = Vector512.Create(a[7]);
            c7a = Avx512F.FusedMultiplyAdd(x, ba, c7a);
        }
        Finish(c, c0a, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
        Finish(c + (6 * ldc), c6a, accumulate);
        Finish(c + (7 * ldc), c7a, accumulate);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Tile32(int k, float* a, float* b, float* c, nint ldc, bool accumulate)
    {
        Vector512<float> c0a = Vector512<float>.Zero, c0b = Vector512<float>.Zero;
        Vector512<float> c1a = Vector512<float>.Zero, c1b = Vector512<float>.Zero;
        Vector512<float> c2a = Vector512<float>.Zero, c2b = Vector512<float>.Zero;
        Vector512<float> c3a = Vector512<float>.Zero, c3b = Vector512<float>.Zero;
        Vector512<float> c4a = Vector512<float>.Zero, c4b = Vector512<float>.Zero;
        Vector512<float> c5a = Vector512<float>.Zero, c5b = Vector512<float>.Zero;
        Vector512<float> c6a = Vector512<float>.Zero, c6b = Vector512<float>.Zero;
        Vector512<float> c7a = Vector512<float>.Zero, c7b = Vector512<float>.Zero;
        float* end = a + ((nint)k * 8);
        for (; a < end; a += 8, b += 48)
        {
            Vector512<float> ba = Vector512.Load(b), bb = Vector512.Load(b + 16);
            Vector512<float> x = Vector512.Create(a[0]);
            c0a = Avx512F.FusedMultiplyAdd(x, ba, c0a);
            c0b = Avx512F.FusedMultiplyAdd(x, bb, c0b);
            x = Vector512.Create(a[1]);
            c1a = Avx512F.FusedMultiplyAdd(x, ba, c1a);
            c1b = Avx512F.FusedMultiplyAdd(x, bb, c1b);
            x = Vector512.Create(a[2]);
            c2a = Avx512F.FusedMultiplyAdd(x, ba, c2a);
            c2b = Avx512F.FusedMultiplyAdd(x, bb, c2b);
            x = Vector512.Create(a[3]);
            c3a = Avx512F.FusedMultiplyAdd(x, ba, c3a);
            c3b = Avx512F.FusedMultiplyAdd(x, bb, c3b);
            x = Vector512.Create(a[4]);
            c4a = Avx512F.FusedMultiplyAdd(x, ba, c4a);
            c4b = Avx512F.FusedMultiplyAdd(x, bb, c4b);
            x = Vector512.Create(a[5]);
            c5a = Avx512F.FusedMultiplyAdd(x, ba, c5a);
            c5b = Avx512F.FusedMultiplyAdd(x, bb, c5b);
            x = Vector512.Create(a[6]);
            c6a = Avx512F.FusedMultiplyAdd(x, ba, c6a);
            c6b = Avx512F.FusedMultiplyAdd(x, bb, c6b);
            x = Vector512.Create(a[7]);
            c7a = Avx512F.FusedMultiplyAdd(x, ba, c7a);
            c7b = Avx512F.FusedMultiplyAdd(x, bb, c7b);
        }
        Finish(c, c0a, accumulate);
        Finish(c + 16, c0b, accumulate);
        Finish(c + ldc, c1a, accumulate);
        Finish(c + ldc + 16, c1b, accumulate);
        Finish(c + (2 * ldc), c2a, accumulate);
        Finish(c + (2 * ldc) + 16, c2b, accumulate);
        Finish(c + (3 * ldc), c3a, accumulate);
        Finish(c + (3 * ldc) + 16, c3b, accumulate);
        Finish(c + (4 * ldc), c4a, accumulate);
        Finish(c + (4 * ldc) + 16, c4b, accumulate);
        Finish(c + (5 * ldc), c5a, accumulate);
        Finish(c + (5 * ldc) + 16, c5b, accumulate);
        Finish(c + (6 * ldc), c6a, accumulate);
        Finish(c + (6 * ldc) + 16, c6b, accumulate);
        Finish(c + (7 * ldc), c7a, accumulate);
        Finish(c + (7 * ldc) + 16, c7b, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* c, Vector512<float> value, bool accumulate)
    {
        if (accumulate) value += Vector512.Load(c);
        value.Store(c);
    }
}
