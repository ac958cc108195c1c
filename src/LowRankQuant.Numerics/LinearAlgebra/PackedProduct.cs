using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// The matrix product on one thread, blocked as Goto and van de Geijn do (2008): a slice of A and of B is copied into the order in which it is read, so
/// that strides, which at powers of two map everything onto the same few cache lines, matter only once. Tiles of four rows and three vectors stay in registers.
/// </summary>
internal static class PackedProduct
{
    // A slice of B for one tile, 128 deep, is 24 KB of doubles and stays in the first cache; a block of A or B stays in the second.
    private const int Depth = 128;
    private const int BlockRows = 128;
    private const int BlockColumns = 480;
    private const int TileRows = 4;
    private const int TileVectors = 3;

    /// <summary>C += sign A B; element (r, k) of A lies at r * aRow + k * aDepth, element (k, c) of B at k * bDepth + c * bColumn.</summary>
    public static void Add<T>(
        Span<T> c, int cStride, ReadOnlySpan<T> a, int aRow, int aDepth, ReadOnlySpan<T> b, int bDepth, int bColumn, int rows, int columns, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (Vector512.IsHardwareAccelerated) Add<T, Wide512<T>>(c, cStride, a, aRow, aDepth, b, bDepth, bColumn, rows, columns, depth, sign);
        else Add<T, WideVector<T>>(c, cStride, a, aRow, aDepth, b, bDepth, bColumn, rows, columns, depth, sign);
    }

    private static void Add<T, W>(
        Span<T> c, int cStride, ReadOnlySpan<T> a, int aRow, int aDepth, ReadOnlySpan<T> b, int bDepth, int bColumn, int rows, int columns, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
        where W : struct, IWide<W, T>
    {
        int tileColumns = TileVectors * W.Count;
        Span<T> packedA = Scratch<T>.A, packedB = Scratch<T>.B;
        // A block of C stays in the second cache while the depth goes by.
        for (int column = 0; column < columns; column += BlockColumns)
        {
            int wide = Math.Min(BlockColumns, columns - column);
            for (int k = 0; k < depth; k += Depth)
            {
                int deep = Math.Min(Depth, depth - k);
                Pack(b[((column * bColumn) + (k * bDepth))..], bColumn, bDepth, wide, deep, tileColumns, packedB);
                for (int row = 0; row < rows; row += BlockRows)
                {
                    int high = Math.Min(BlockRows, rows - row);
                    Pack(a[((row * aRow) + (k * aDepth))..], aRow, aDepth, high, deep, TileRows, packedA);
                    AddBlock<T, W>(c[((row * cStride) + column)..], cStride, packedA, packedB, high, wide, deep, sign);
                }
            }
        }
    }

    private static void AddBlock<T, W>(Span<T> c, int cStride, Span<T> packedA, Span<T> packedB, int rows, int columns, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
        where W : struct, IWide<W, T>
    {
        int tileColumns = TileVectors * W.Count;
        Span<T> corner = stackalloc T[TileRows * tileColumns];
        for (int j = 0; j < columns; j += tileColumns)
        {
            for (int i = 0; i < rows; i += TileRows)
            {
                ref T tileA = ref packedA[i * depth], tileB = ref packedB[j * depth];
                Span<T> target = c[((i * cStride) + j)..];
                int tall = Math.Min(TileRows, rows - i), broad = Math.Min(tileColumns, columns - j);
                if (tall == TileRows && broad == tileColumns)
                {
                    AddTile<T, W>(ref target[0], cStride, ref tileA, ref tileB, depth, sign);
                    continue;
                }
                corner.Clear();
                AddTile<T, W>(ref corner[0], tileColumns, ref tileA, ref tileB, depth, sign);
                for (int r = 0; r < tall; r++) VectorKernels.AddScaled(T.One, corner.Slice(r * tileColumns, broad), target.Slice(r * cStride, broad));
            }
        }
    }

    // Panels of so many lines; within a panel, element k of all lines, then element k + 1. Lines that are missing from the last panel are zero.
    private static void Pack<T>(ReadOnlySpan<T> source, int lineStride, int depthStride, int lines, int depth, int panel, Span<T> packed)
        where T : unmanaged
    {
        for (int first = 0; first < lines; first += panel)
        {
            int here = Math.Min(panel, lines - first);
            Span<T> target = packed.Slice(first * depth, panel * depth);
            if (here < panel) target.Clear();
            if (lineStride == 1)
            {
                for (int k = 0; k < depth; k++) source.Slice(first + (k * depthStride), here).CopyTo(target[(k * panel)..]);
                continue;
            }
            for (int line = 0; line < here; line++)
            {
                ref T from = ref Unsafe.AsRef(in source[(first + line) * lineStride]), to = ref target[line];
                _ = source[((first + line) * lineStride) + ((depth - 1) * depthStride)];
                for (int k = 0; k < depth; k++) Unsafe.Add(ref to, k * panel) = Unsafe.Add(ref from, k * depthStride);
            }
        }
    }

    // The caller has checked that the tile lies within C; the panels are whole.
    private static void AddTile<T, W>(ref T c, int cStride, ref T a, ref T b, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
        where W : struct, IWide<W, T>
    {
        nuint width = (nuint)W.Count, second = 2 * width, third = 3 * width;
        W s00 = W.Create(T.Zero), s01 = s00, s02 = s00, s10 = s00, s11 = s00, s12 = s00, s20 = s00, s21 = s00, s22 = s00, s30 = s00, s31 = s00, s32 = s00;
        nuint aAt = 0, bAt = 0;
        for (int k = 0; k < depth; k++, aAt += TileRows, bAt += third)
        {
            W b0 = W.Load(ref b, bAt), b1 = W.Load(ref b, bAt + width), b2 = W.Load(ref b, bAt + second);
            W factor = W.Create(Unsafe.Add(ref a, aAt));
            s00 = W.MultiplyAdd(factor, b0, s00);
            s01 = W.MultiplyAdd(factor, b1, s01);
            s02 = W.MultiplyAdd(factor, b2, s02);
            factor = W.Create(Unsafe.Add(ref a, aAt + 1));
            s10 = W.MultiplyAdd(factor, b0, s10);
            s11 = W.MultiplyAdd(factor, b1, s11);
            s12 = W.MultiplyAdd(factor, b2, s12);
            factor = W.Create(Unsafe.Add(ref a, aAt + 2));
            s20 = W.MultiplyAdd(factor, b0, s20);
            s21 = W.MultiplyAdd(factor, b1, s21);
            s22 = W.MultiplyAdd(factor, b2, s22);
            factor = W.Create(Unsafe.Add(ref a, aAt + 3));
            s30 = W.MultiplyAdd(factor, b0, s30);
            s31 = W.MultiplyAdd(factor, b1, s31);
            s32 = W.MultiplyAdd(factor, b2, s32);
        }
        W signs = W.Create(sign);
        AddRow(ref c, s00, s01, s02, signs);
        AddRow(ref Unsafe.Add(ref c, cStride), s10, s11, s12, signs);
        AddRow(ref Unsafe.Add(ref c, 2 * cStride), s20, s21, s22, signs);
        AddRow(ref Unsafe.Add(ref c, 3 * cStride), s30, s31, s32, signs);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void AddRow(ref T target, W first, W middle, W last, W signs)
        {
            nuint width = (nuint)W.Count;
            W.MultiplyAdd(signs, first, W.Load(ref target, 0)).Store(ref target, 0);
            W.MultiplyAdd(signs, middle, W.Load(ref target, width)).Store(ref target, width);
            W.MultiplyAdd(signs, last, W.Load(ref target, 2 * width)).Store(ref target, 2 * width);
        }
    }

    // Work memory of a thread, kept between calls.
    private static class Scratch<T>
        where T : unmanaged
    {
        [ThreadStatic]
        private static Memory<T> _a;

        [ThreadStatic]
        private static Memory<T> _b;

        public static Span<T> A => Of(ref _a, BlockRows * Depth);

        // The last tile of a block may be cut short, and is packed whole.
        public static Span<T> B => Of(ref _b, (BlockColumns + (TileVectors * 64)) * Depth);

        private static Span<T> Of(ref Memory<T> memory, int length)
        {
            if (memory.IsEmpty) memory = AlignedMemory.Allocate<T>(length);
            return memory.Span;
        }
    }
}
