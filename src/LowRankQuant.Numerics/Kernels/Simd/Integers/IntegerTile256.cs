using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>6 x 16 tile: 12 of the 16 registers hold sums, two for each row.</summary>
internal readonly unsafe struct IntegerTile256<TDot> : IIntegerTile
    where TDot : struct, IIntegerDot<Vector256<int>>
{
    public static int Rows => 6;

    public static int Columns => 16;

    public static int CodesPerWord => TDot.CodesPerWord;

    public static void Multiply(int words, int* a, int* b, int flush, int* sums)
    {
        int step = TDot.Flushes ? Math.Min(flush, words) : words;
        Part(step, a, b, sums, add: false);
        for (int done = step; done < words; done += step) Part(Math.Min(step, words - done), a + (done * 6), b + (done * 16), sums, add: true);
    }

    // Every sum has a name of its own: an array or a span would be kept in memory instead of registers. Both products of a row stand before both additions: multiplications have
    // fewer ports than additions, and in turn they block each other.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Part(int words, int* a, int* b, int* sums, bool add)
    {
        Vector256<int> c0a = Vector256<int>.Zero, c0b = Vector256<int>.Zero, c1a = Vector256<int>.Zero, c1b = Vector256<int>.Zero;
        Vector256<int> c2a = Vector256<int>.Zero, c2b = Vector256<int>.Zero, c3a = Vector256<int>.Zero, c3b = Vector256<int>.Zero;
        Vector256<int> c4a = Vector256<int>.Zero, c4b = Vector256<int>.Zero, c5a = Vector256<int>.Zero, c5b = Vector256<int>.Zero;
        int* end = a + ((nint)words * 6);
        for (; a < end; a += 6, b += 16)
        {
            Vector256<int> ba = Vector256.Load(b), bb = Vector256.Load(b + 8);
            Vector256<int> x = Vector256.Create(a[0]);
            Vector256<int> p = TDot.Multiply(c0a, x, ba), q = TDot.Multiply(c0b, x, bb);
            c0a = TDot.Add(c0a, p);
            c0b = TDot.Add(c0b, q);
            x = Vector256.Create(a[1]);
            p = TDot.Multiply(c1a, x, ba);
            q = TDot.Multiply(c1b, x, bb);
            c1a = TDot.Add(c1a, p);
            c1b = TDot.Add(c1b, q);
            x = Vector256.Create(a[2]);
            p = TDot.Multiply(c2a, x, ba);
            q = TDot.Multiply(c2b, x, bb);
            c2a = TDot.Add(c2a, p);
            c2b = TDot.Add(c2b, q);
            x = Vector256.Create(a[3]);
            p = TDot.Multiply(c3a, x, ba);
            q = TDot.Multiply(c3b, x, bb);
            c3a = TDot.Add(c3a, p);
            c3b = TDot.Add(c3b, q);
            x = Vector256.Create(a[4]);
            p = TDot.Multiply(c4a, x, ba);
            q = TDot.Multiply(c4b, x, bb);
            c4a = TDot.Add(c4a, p);
            c4b = TDot.Add(c4b, q);
            x = Vector256.Create(a[5]);
            p = TDot.Multiply(c5a, x, ba);
            q = TDot.Multiply(c5b, x, bb);
            c5a = TDot.Add(c5a, p);
            c5b = TDot.Add(c5b, q);
        }
        Store(sums, c0a, c0b, add);
        Store(sums + 16, c1a, c1b, add);
        Store(sums + 32, c2a, c2b, add);
        Store(sums + 48, c3a, c3b, add);
        Store(sums + 64, c4a, c4b, add);
        Store(sums + 80, c5a, c5b, add);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(int* sums, Vector256<int> first, Vector256<int> second, bool add)
    {
        (first, second) = (TDot.Widen(first), TDot.Widen(second));
        if (add) (first, second) = (first + Vector256.Load(sums), second + Vector256.Load(sums + 8));
        first.Store(sums);
        second.Store(sums + 8);
    }
}
