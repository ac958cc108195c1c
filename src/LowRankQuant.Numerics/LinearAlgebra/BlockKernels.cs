using System.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// Matrix products on parts of row-major matrices (BLAS level 3): a span begins at the part's first element, a stride counts elements from one row
/// to the next. A few rows are multiplied where they lie; more are worth the packing of <see cref="PackedProduct"/>.
/// </summary>
internal static class BlockKernels
{
    private const int FewRows = 3;

    /// <summary>C += sign * A B^T with C [rows, columns], A [rows, depth], B [columns, depth].</summary>
    public static void AddProductTransposed<T>(
        Span<T> c, int cStride, ReadOnlySpan<T> a, int aStride, ReadOnlySpan<T> b, int bStride, int rows, int columns, int depth, T sign)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (rows == 0 || columns == 0 || depth == 0) return;
        Require(c.Length, rows, cStride, columns);
        Require(a.Length, rows, aStride, depth);
        Require(b.Length, columns, bStride, depth);
        if (rows > FewRows)
        {
            PackedProduct.Add(c, cStride, a, aStride, 1, b, 1, bStride, rows, columns, depth, sign);
            return;
        }
        for (int row = 0; row < rows; row++)
        {
            ReadOnlySpan<T> x = a.Slice(row * aStride, depth);
            for (int column = 0; column < columns; column++) c[(row * cStride) + column] += sign * VectorKernels.Dot(x, b.Slice(column * bStride, depth));
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
        if (rows > FewRows)
        {
            PackedProduct.Add(c, cStride, a, aRowStride, aDepthStride, b, bStride, 1, rows, columns, depth, sign);
            return;
        }
        for (int row = 0; row < rows; row++)
        {
            Span<T> target = c.Slice(row * cStride, columns);
            for (int k = 0; k < depth; k++) VectorKernels.AddScaled(sign * a[(row * aRowStride) + (k * aDepthStride)], b.Slice(k * bStride, columns), target);
        }
    }

    private static void Require(int length, int rows, int stride, int columns)
    {
        // The tiles run without bounds checks, so this is the check.
        if (((long)(rows - 1) * stride) + columns > length)
            throw new ArgumentException($"{length} elements do not hold {rows} rows of {columns} at stride {stride}.");
    }
}
