using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>12 x 32 tile: 24 of the 32 registers hold sums, two for each row.</summary>
internal readonly unsafe struct IntegerTile512<TDot> : IIntegerTile
    where TDot : struct, IIntegerDot<Vector512<int>>
{
    public static int Rows => 12;

    public static int Columns => 32;

    public static int CodesPerWord => TDot.CodesPerWord;

    public static void Multiply(int words, int* a, int* b, int flush, int* sums)
    {
        int step = TDot.Flushes ? Math.Min(flush, words) : words;
        Part(step, a, b, sums, add: false);
        for (int done = step; done < words; done += step) Part(Math.Min(step, words - done), a + (done * 12), b + (done * 32), sums, add: true);
    }

    // Every sum has a name of its own: an array or a span would be kept in memory instead of registers. Both products of a row stand before both additions: multiplications have
    // fewer ports than additions, and in turn they block each other.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Part(int words, int* a, int* b, int* sums, bool add)
    {
        Vector512<int> c0a = Vector512<int>.Zero, c0b = Vector512<int>.Zero, c1a = Vector512<int>.Zero, c1b = Vector512<int>.Zero;
        Vector512<int> c2a = Vector512<int>.Zero, c2b = Vector512<int>.Zero, c3a = Vector512<int>.Zero, c3b = Vector512<int>.Zero;
        Vector512<int> c4a = Vector512<int>.Zero, c4b = Vector512<int>.Zero, c5a = Vector512<int>.Zero, c5b = Vector512<int>.Zero;
        Vector512<int> c6a = Vector512<int>.Zero, c6b = Vector512<int>.Zero, c7a = Vector512<int>.Zero, c7b = Vector512<int>.Zero;
        Vector512<int> c8a = Vector512<int>.Zero, c8b = Vector512<int>.Zero, c9a = Vector512<int>.Zero, c9b = Vector512<int>.Zero;
        Vector512<int> c10a = Vector512<int>.Zero, c10b = Vector512<int>.Zero, c11a = Vector512<int>.Zero, c11b = Vector512<int>.Zero;
        int* end = a + ((nint)words * 12);
        for (; a < end; a += 12, b += 32)
        {
            Vector512<int> ba = Vector512.Load(b), bb = Vector512.Load(b + 16);
            Vector512<int> x = Vector512.Create(a[0]);
            Vector512<int> p = TDot.Multiply(c0a, x, ba), q = TDot.Multiply(c0b, x, bb);
            c0a = TDot.Add(c0a, p);
            c0b = TDot.Add(c0b, q);
            x = Vector512.Create(a[1]);
            p = TDot.Multiply(c1a, x, ba);
            q = TDot.Multiply(c1b, x, bb);
            c1a = TDot.Add(c1a, p);
            c1b = TDot.Add(c1b, q);
            x = Vector512.Create(a[2]);
            p = TDot.Multiply(c2a, x, ba);
            q = TDot.Multiply(c2b, x, bb);
            c2a = TDot.Add(c2a, p);
            c2b = TDot.Add(c2b, q);
            x = Vector512.Create(a[3]);
            p = TDot.Multiply(c3a, x, ba);
            q = TDot.Multiply(c3b, x, bb);
            c3a = TDot.Add(c3a, p);
            c3b = TDot.Add(c3b, q);
            x = Vector512.Create(a[4]);
            p = TDot.Multiply(c4a, x, ba);
            q = TDot.Multiply(c4b, x, bb);
            c4a = TDot.Add(c4a, p);
            c4b = TDot.Add(c4b, q);
            x = Vector512.Create(a[5]);
            p = TDot.Multiply(c5a, x, ba);
            q = TDot.Multiply(c5b, x, bb);
            c5a = TDot.Add(c5a, p);
            c5b = TDot.Add(c5b, q);
            x = Vector512.Create(a[6]);
            p = TDot.Multiply(c6a, x, ba);
            q = TDot.Multiply(c6b, x, bb);
            c6a = TDot.Add(c6a, p);
            c6b = TDot.Add(c6b, q);
            x = Vector512.Create(a[7]);
            p = TDot.Multiply(c7a, x, ba);
            q = TDot.Multiply(c7b, x, bb);
            c7a = TDot.Add(c7a, p);
            c7b = TDot.Add(c7b, q);
            x = Vector512.Create(a[8]);
            p = TDot.Multiply(c8a, x, ba);
            q = TDot.Multiply(c8b, x, bb);
            c8a = TDot.Add(c8a, p);
            c8b = TDot.Add(c8b, q);
            x = Vector512.Create(a[9]);
            p = TDot.Multiply(c9a, x, ba);
            q = TDot.Multiply(c9b, x, bb);
            c9a = TDot.Add(c9a, p);
            c9b = TDot.Add(c9b, q);
            x = Vector512.Create(a[10]);
            p = TDot.Multiply(c10a, x, ba);
            q = TDot.Multiply(c10b, x, bb);
            c10a = TDot.Add(c10a, p);
            c10b = TDot.Add(c10b, q);
            x = Vector512.Create(a[11]);
            p = TDot.Multiply(c11a, x, ba);
            q = TDot.Multiply(c11b, x, bb);
            c11a = TDot.Add(c11a, p);
            c11b = TDot.Add(c11b, q);
        }
        Store(sums, c0a, c0b, add);
        Store(sums + 32, c1a, c1b, add);
        Store(sums + 64, c2a, c2b, add);
        Store(sums + 96, c3a, c3b, add);
        Store(sums + 128, c4a, c4b, add);
        Store(sums + 160, c5a, c5b, add);
        Store(sums + 192, c6a, c6b, add);
        Store(sums + 224, c7a, c7b, add);
        Store(sums + 256, c8a, c8b, add);
        Store(sums + 288, c9a, c9b, add);
        Store(sums + 320, c10a, c10b, add);
        Store(sums + 352, c11a, c11b, add);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(int* sums, Vector512<int> first, Vector512<int> second, bool add)
    {
        (first, second) = (TDot.Widen(first), TDot.Widen(second));
        if (add) (first, second) = (first + Vector512.Load(sums), second + Vector512.Load(sums + 16));
        first.Store(sums);
        second.Store(sums + 16);
    }
}
