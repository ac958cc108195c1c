using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>Copies rows of codes into the panels that <see cref="IIntegerTile"/> reads.</summary>
internal static unsafe class IntegerPack
{
    /// <summary>Words of a row that are copied at a time: with as many rows as a panel has, they stay in the first-level cache.</summary>
    private const int Stretch = 128;

    /// <summary>Rows of a panel at most.</summary>
    private const int MostRows = 32;

    /// <summary>One run of some rows of codes into a panel [words, width]. Beyond the last code, and beyond the last row, are zeros.</summary>
    /// <param name="source">First code of the run in the first row, taken as unsigned after <paramref name="flip"/>.</param>
    /// <param name="stride">Bytes between rows.</param>
    /// <param name="rows">Rows, at most <paramref name="width"/>.</param>
    /// <param name="length">Codes of the run.</param>
    /// <param name="codesPerWord">2 or 4.</param>
    /// <param name="flip">Exclusive-or with every code: 0x80 makes signed codes unsigned ones that are 128 larger, 0 leaves them.</param>
    /// <param name="zeros">What is taken off every code of a row.</param>
    /// <param name="panel">The panel.</param>
    /// <param name="width">Rows of the panel.</param>
    [SkipLocalsInit]
    public static void Run(byte* source, nint stride, int rows, int length, int codesPerWord, byte flip, int* zeros, int* panel, int width)
    {
        int* stretch = stackalloc int[Stretch * MostRows];
        int words = (length + codesPerWord - 1) / codesPerWord;
        for (int first = 0; first < words; first += Stretch)
        {
            int count = Math.Min(Stretch, words - first), begin = first * codesPerWord, codes = Math.Min(count * codesPerWord, length - begin);
            for (int r = 0; r < rows; r++)
            {
                int* target = stretch + (r * Stretch);
                // The last word may be half empty.
                target[count - 1] = 0;
                byte* from = source + (r * stride) + begin;
                if (codesPerWord == 2) Pairs(from, codes, flip, (short)zeros[r], (short*)target);
                else Bytes(from, codes, flip, (byte)zeros[r], (byte*)target);
            }
            // Words move as floats do.
            GemmPack.Transposed((float*)stretch, Stretch, rows, count, (float*)(panel + (first * width)), width);
        }
    }

    /// <summary>Sum of codes, unsigned after <paramref name="flip"/>.</summary>
    public static int Sum(byte* codes, int count, byte flip)
    {
        int sum = 0, i = 0;
        if (Avx2.IsSupported)
        {
            Vector256<long> sums = Vector256<long>.Zero;
            for (; i <= count - 32; i += 32) sums += Avx2.SumAbsoluteDifferences(Vector256.Load(codes + i) ^ Vector256.Create(flip), Vector256<byte>.Zero).AsInt64();
            sum = (int)Vector256.Sum(sums);
        }
        for (; i < count; i++) sum += codes[i] ^ flip;
        return sum;
    }

    private static void Pairs(byte* source, int count, byte flip, short zero, short* target)
    {
        int i = 0;
        Vector256<short> zeros = Vector256.Create(zero);
        for (; i <= count - 32; i += 32)
        {
            (Vector256<ushort> low, Vector256<ushort> high) = Vector256.Widen(Vector256.Load(source + i) ^ Vector256.Create(flip));
            (low.AsInt16() - zeros).Store(target + i);
            (high.AsInt16() - zeros).Store(target + i + 16);
        }
        for (; i < count; i++) target[i] = (short)((source[i] ^ flip) - zero);
    }

    private static void Bytes(byte* source, int count, byte flip, byte zero, byte* target)
    {
        int i = 0;
        for (; i <= count - 32; i += 32) ((Vector256.Load(source + i) ^ Vector256.Create(flip)) - Vector256.Create(zero)).Store(target + i);
        for (; i < count; i++) target[i] = (byte)((source[i] ^ flip) - zero);
    }
}
