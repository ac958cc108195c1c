using System.Numerics;
using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Matrix products on parts of row-major matrices (BLAS level 3): a span begins at the part's first element, a stride counts elements from one row
/// to the next. Sums over the depth run in slices of <see cref="DepthSlice"/> so that the operands of a tile stay in the first cache.
/// </summary>
internal static class BlockKernels
{
    private const int DepthSlice = 256;

    /// <summary>C += sign * A B^T with C [rows, columns], A [rows, depth], B [columns, depth].</summary>
    public static void AddProductTransposed<T>(
        Span<T> c, int cStride, ReadOnlySpan<T> a, int aStride, ReadOnlySpan<T> b, int bStride, int rows, int columns, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (rows == 0 || columns == 0 || depth == 0) return;
        Require(c.Length, rows, cStride, columns);
        Require(a.Length, rows, aStride, depth);
        Require(b.Length, columns, bStride, depth);
        for (int slice = 0; slice < depth; slice += DepthSlice)
        {
            int size = Math.Min(DepthSlice, depth - slice), tiledRows = rows & ~3, tiledColumns = columns & ~1;
            for (int row = 0; row < rows; row++)
            {
                bool tiled = row < tiledRows;
                if (tiled && (row & 3) == 0)
                {
                    ref readonly T aTile = ref a[(row * aStride) + slice];
                    for (int column = 0; column < tiledColumns; column += 2)
                    {
                        ref readonly T bTile = ref b[(column * bStride) + slice];
                        DotTile4x2(ref c[(row * cStride) + column], cStride, in aTile, aStride, in bTile, bStride, size, sign);
                    }
                }
                ReadOnlySpan<T> x = a.Slice((row * aStride) + slice, size);
                for (int column = tiled ? tiledColumns : 0; column < columns; column++)
                    c[(row * cStride) + column] += sign * VectorKernels.Dot(x, b.Slice((column * bStride) + slice, size));
            }
        }
    }

    /// <summary>
    /// C += sign * A B with C [rows, columns] and B [depth, columns]; element (r, k) of A lies at r * aRowStride + k * aDepthStride, so that A may be
    /// given transposed.
    /// </summary>
    public static void AddProduct<T>(
        Span<T> c, int cStride, ReadOnlySpan<T> a, int aRowStride, int aDepthStride, ReadOnlySpan<T> b, int bStride,
        int rows, int columns, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (rows == 0 || columns == 0 || depth == 0) return;
        Require(c.Length, rows, cStride, columns);
        Require(a.Length, rows, aRowStride, 1 + ((depth - 1) * aDepthStride));
        Require(b.Length, depth, bStride, columns);
        int width = Vector<T>.Count;
        for (int slice = 0; slice < depth; slice += DepthSlice)
        {
            int size = Math.Min(DepthSlice, depth - slice);
            int column = 0, aAt = slice * aDepthStride;
            for (; column <= columns - (2 * width); column += 2 * width)
            {
                ref readonly T bTile = ref b[(slice * bStride) + column];
                int row = 0;
                for (; row <= rows - 4; row += 4)
                {
                    ref T cTile = ref c[(row * cStride) + column];
                    BroadcastTile4x2(ref cTile, cStride, in a[(row * aRowStride) + aAt], aRowStride, aDepthStride, in bTile, bStride, size, sign);
                }
                for (; row < rows; row++)
                    BroadcastTile1x2(ref c[(row * cStride) + column], in a[(row * aRowStride) + aAt], aDepthStride, in bTile, bStride, size, sign);
            }
            if (column == columns) continue;
            int rest = columns - column;
            for (int row = 0; row < rows; row++)
            {
                Span<T> target = c.Slice((row * cStride) + column, rest);
                for (int k = slice; k < slice + size; k++)
                    VectorKernels.AddScaled(sign * a[(row * aRowStride) + (k * aDepthStride)], b.Slice((k * bStride) + column, rest), target);
            }
        }
    }

    private static void Require(int length, int rows, int stride, int columns)
    {
        // The tiles run without bounds checks, so this is the check.
        if (((long)(rows - 1) * stride) + columns > length)
            throw new ArgumentException($"{length} elements do not hold {rows} rows of {columns} at stride {stride}.");
    }

    // Four rows of A against two of B: eight running sums, six loads per eight multiplications.
    private static void DotTile4x2<T>(ref T c, int cStride, in T a, int aStride, in T b, int bStride, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ref T a0 = ref Unsafe.AsRef(in a), a1 = ref Unsafe.Add(ref a0, aStride);
        ref T a2 = ref Unsafe.Add(ref a1, aStride), a3 = ref Unsafe.Add(ref a2, aStride);
        ref T b0 = ref Unsafe.AsRef(in b), b1 = ref Unsafe.Add(ref b0, bStride);
        int width = Vector<T>.Count, k = 0;
        Vector<T> s00 = Vector<T>.Zero, s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
        for (; k <= depth - width; k += width)
        {
            nuint at = (nuint)k;
            Vector<T> y0 = Vector.LoadUnsafe(ref b0, at), y1 = Vector.LoadUnsafe(ref b1, at), x = Vector.LoadUnsafe(ref a0, at);
            s00 = VectorKernels.MultiplyAdd(x, y0, s00);
            s01 = VectorKernels.MultiplyAdd(x, y1, s01);
            x = Vector.LoadUnsafe(ref a1, at);
            s10 = VectorKernels.MultiplyAdd(x, y0, s10);
            s11 = VectorKernels.MultiplyAdd(x, y1, s11);
            x = Vector.LoadUnsafe(ref a2, at);
            s20 = VectorKernels.MultiplyAdd(x, y0, s20);
            s21 = VectorKernels.MultiplyAdd(x, y1, s21);
            x = Vector.LoadUnsafe(ref a3, at);
            s30 = VectorKernels.MultiplyAdd(x, y0, s30);
            s31 = VectorKernels.MultiplyAdd(x, y1, s31);
        }
        T t00 = Vector.Sum(s00), t01 = Vector.Sum(s01), t10 = Vector.Sum(s10), t11 = Vector.Sum(s11);
        T t20 = Vector.Sum(s20), t21 = Vector.Sum(s21), t30 = Vector.Sum(s30), t31 = Vector.Sum(s31);
        for (; k < depth; k++)
        {
            T y0 = Unsafe.Add(ref b0, k), y1 = Unsafe.Add(ref b1, k);
            T x0 = Unsafe.Add(ref a0, k), x1 = Unsafe.Add(ref a1, k), x2 = Unsafe.Add(ref a2, k), x3 = Unsafe.Add(ref a3, k);
            t00 += x0 * y0;
            t01 += x0 * y1;
            t10 += x1 * y0;
            t11 += x1 * y1;
            t20 += x2 * y0;
            t21 += x2 * y1;
            t30 += x3 * y0;
            t31 += x3 * y1;
        }
        AddPair(ref c, sign * t00, sign * t01);
        AddPair(ref Unsafe.Add(ref c, cStride), sign * t10, sign * t11);
        AddPair(ref Unsafe.Add(ref c, 2 * cStride), sign * t20, sign * t21);
        AddPair(ref Unsafe.Add(ref c, 3 * cStride), sign * t30, sign * t31);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPair<T>(ref T target, T first, T second)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        target += first;
        Unsafe.Add(ref target, 1) += second;
    }

    // Four rows of C, two vectors wide.
    private static void BroadcastTile4x2<T>(ref T c, int cStride, in T a, int aRowStride, int aDepthStride, in T b, int bStride, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ref T x = ref Unsafe.AsRef(in a);
        ref T y = ref Unsafe.AsRef(in b);
        nuint width = (nuint)Vector<T>.Count;
        Vector<T> s00 = Vector<T>.Zero, s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
        // Offsets rather than moving references: a reference must never point past the end of its array, not even unused.
        int xAt = 0, yAt = 0;
        for (int k = 0; k < depth; k++, xAt += aDepthStride, yAt += bStride)
        {
            Vector<T> y0 = Vector.LoadUnsafe(ref y, (nuint)yAt), y1 = Vector.LoadUnsafe(ref y, (nuint)yAt + width);
            Vector<T> factor = Vector.Create(Unsafe.Add(ref x, xAt));
            s00 = VectorKernels.MultiplyAdd(factor, y0, s00);
            s01 = VectorKernels.MultiplyAdd(factor, y1, s01);
            factor = Vector.Create(Unsafe.Add(ref x, xAt + aRowStride));
            s10 = VectorKernels.MultiplyAdd(factor, y0, s10);
            s11 = VectorKernels.MultiplyAdd(factor, y1, s11);
            factor = Vector.Create(Unsafe.Add(ref x, xAt + (2 * aRowStride)));
            s20 = VectorKernels.MultiplyAdd(factor, y0, s20);
            s21 = VectorKernels.MultiplyAdd(factor, y1, s21);
            factor = Vector.Create(Unsafe.Add(ref x, xAt + (3 * aRowStride)));
            s30 = VectorKernels.MultiplyAdd(factor, y0, s30);
            s31 = VectorKernels.MultiplyAdd(factor, y1, s31);
        }
        Vector<T> signs = Vector.Create(sign);
        AddVectors(ref c, s00, s01, signs);
        AddVectors(ref Unsafe.Add(ref c, cStride), s10, s11, signs);
        AddVectors(ref Unsafe.Add(ref c, 2 * cStride), s20, s21, signs);
        AddVectors(ref Unsafe.Add(ref c, 3 * cStride), s30, s31, signs);
    }

    private static void BroadcastTile1x2<T>(ref T c, in T a, int aDepthStride, in T b, int bStride, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ref T x = ref Unsafe.AsRef(in a);
        ref T y = ref Unsafe.AsRef(in b);
        Vector<T> s0 = Vector<T>.Zero, s1 = s0;
        int xAt = 0, yAt = 0;
        for (int k = 0; k < depth; k++, xAt += aDepthStride, yAt += bStride)
        {
            Vector<T> factor = Vector.Create(Unsafe.Add(ref x, xAt));
            s0 = VectorKernels.MultiplyAdd(factor, Vector.LoadUnsafe(ref y, (nuint)yAt), s0);
            s1 = VectorKernels.MultiplyAdd(factor, Vector.LoadUnsafe(ref y, (nuint)(yAt + Vector<T>.Count)), s1);
        }
        AddVectors(ref c, s0, s1, Vector.Create(sign));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddVectors<T>(ref T target, Vector<T> first, Vector<T> second, Vector<T> sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        nuint width = (nuint)Vector<T>.Count;
        VectorKernels.MultiplyAdd(sign, first, Vector.LoadUnsafe(ref target)).StoreUnsafe(ref target);
        VectorKernels.MultiplyAdd(sign, second, Vector.LoadUnsafe(ref target, width)).StoreUnsafe(ref target, width);
    }
}
