using System.Numerics;
using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// One tile of a matrix, copied out so that it lies densely in cache, and the part of rank-one terms that falls on it. A measure takes the terms off one
/// after the other and looks at what remains after each. Rows and columns beyond the tile are zero, in the tile and in the terms.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class TileTerms<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    // A micro tile: four rows, two vectors wide, stays in registers while all terms are taken off.
    private const int GroupRows = 4;
    private static readonly int GroupColumns = 2 * Vector<T>.Count;
    private readonly T[] _values;
    private readonly T[] _left;
    private readonly T[] _right;
    private readonly Vector<T>[] _largest;

    internal TileTerms(int rows, int columns, int terms)
    {
        Terms = terms;
        Stride = (columns + GroupColumns - 1) / GroupColumns * GroupColumns;
        int padded = (rows + GroupRows - 1) / GroupRows * GroupRows;
        _values = new T[padded * Stride];
        _left = new T[padded * terms];
        _right = new T[Stride * terms];
        _largest = new Vector<T>[terms];
    }

    /// <summary>Terms to take off.</summary>
    public int Terms { get; }

    /// <summary>Number of the tile's first row in the matrix.</summary>
    public int FirstRow { get; private set; }

    /// <summary>Rows of the tile.</summary>
    public int Rows { get; private set; }

    /// <summary>Columns of the tile.</summary>
    public int Columns { get; private set; }

    /// <summary>Elements between rows of <see cref="Values"/>.</summary>
    public int Stride { get; }

    /// <summary>What remains of the tile.</summary>
    public ReadOnlySpan<T> Values => _values;

    /// <summary>Takes one term off.</summary>
    public void TakeOff(int term)
    {
        for (int row = 0; row < Rows; row++)
        {
            T factor = -_left[(row / GroupRows * GroupRows * Terms) + (term * GroupRows) + (row % GroupRows)];
            for (int column = 0; column < Columns; column += GroupColumns)
            {
                int width = Math.Min(GroupColumns, Columns - column);
                VectorKernels.AddScaled(factor, _right.AsSpan((column * Terms) + (term * GroupColumns), width), _values.AsSpan((row * Stride) + column, width));
            }
        }
    }

    /// <summary>Takes all terms off; figures[t] becomes the largest magnitude of what remains after term t.</summary>
    public void TakeOffAll(Span<double> figures)
    {
        Array.Clear(_largest);
        for (int column = 0; column < Columns; column += GroupColumns)
        {
            for (int row = 0; row < Rows; row += GroupRows)
                TakeOffMicroTile(ref _values[(row * Stride) + column], in _left[row * Terms], in _right[column * Terms]);
        }
        for (int term = 0; term < Terms; term++) figures[term] = double.CreateChecked(VectorKernels.LargestLane(_largest[term]));
    }

    /// <summary>Fills the tile and its part of the terms.</summary>
    /// <param name="matrix">The matrix from the tile's first element on.</param>
    /// <param name="stride">Elements between its rows.</param>
    /// <param name="firstRow">The tile's first row.</param>
    /// <param name="rows">Rows of the tile.</param>
    /// <param name="columns">Columns of the tile.</param>
    /// <param name="left">[terms, ...]: the left vectors from the tile's first row on.</param>
    /// <param name="leftStride">Elements between left vectors.</param>
    /// <param name="right">[terms, ...]: the right vectors from the tile's first column on.</param>
    internal void Load(
        ReadOnlySpan<T> matrix, int stride, int firstRow, int rows, int columns, ReadOnlySpan<T> left, int leftStride, ReadOnlySpan<T> right)
    {
        (FirstRow, Rows, Columns) = (firstRow, rows, columns);
        Array.Clear(_values);
        Array.Clear(_left);
        Array.Clear(_right);
        for (int row = 0; row < rows; row++) matrix.Slice(row * stride, columns).CopyTo(_values.AsSpan(row * Stride));
        for (int term = 0; term < Terms; term++)
        {
            for (int row = 0; row < rows; row++)
                _left[(row / GroupRows * GroupRows * Terms) + (term * GroupRows) + (row % GroupRows)] = left[(term * leftStride) + row];
            for (int column = 0; column < columns; column += GroupColumns)
            {
                int width = Math.Min(GroupColumns, columns - column);
                right.Slice((term * stride) + column, width).CopyTo(_right.AsSpan((column * Terms) + (term * GroupColumns)));
            }
        }
    }

    /// <summary>Writes what remains back.</summary>
    internal void Store(Span<T> matrix, int stride)
    {
        for (int row = 0; row < Rows; row++) _values.AsSpan(row * Stride, Columns).CopyTo(matrix.Slice(row * stride, Columns));
    }

    // All indices lie within the padded arrays: a micro tile never crosses their ends.
    private void TakeOffMicroTile(ref T values, in T left, in T right)
    {
        nuint width = (nuint)Vector<T>.Count, stride = (nuint)Stride;
        ref T l = ref Unsafe.AsRef(in left), r = ref Unsafe.AsRef(in right);
        Vector<T> a0 = Vector.LoadUnsafe(ref values), b0 = Vector.LoadUnsafe(ref values, width);
        Vector<T> a1 = Vector.LoadUnsafe(ref values, stride), b1 = Vector.LoadUnsafe(ref values, stride + width);
        Vector<T> a2 = Vector.LoadUnsafe(ref values, 2 * stride), b2 = Vector.LoadUnsafe(ref values, (2 * stride) + width);
        Vector<T> a3 = Vector.LoadUnsafe(ref values, 3 * stride), b3 = Vector.LoadUnsafe(ref values, (3 * stride) + width);
        Vector<T>[] largest = _largest;
        for (int term = 0; term < largest.Length; term++)
        {
            nuint at = (nuint)(term * GroupColumns);
            Vector<T> x = Vector.LoadUnsafe(ref r, at), y = Vector.LoadUnsafe(ref r, at + width);
            Vector<T> factor = Vector.Create(-Unsafe.Add(ref l, term * GroupRows));
            a0 = VectorKernels.MultiplyAdd(factor, x, a0);
            b0 = VectorKernels.MultiplyAdd(factor, y, b0);
            factor = Vector.Create(-Unsafe.Add(ref l, (term * GroupRows) + 1));
            a1 = VectorKernels.MultiplyAdd(factor, x, a1);
            b1 = VectorKernels.MultiplyAdd(factor, y, b1);
            factor = Vector.Create(-Unsafe.Add(ref l, (term * GroupRows) + 2));
            a2 = VectorKernels.MultiplyAdd(factor, x, a2);
            b2 = VectorKernels.MultiplyAdd(factor, y, b2);
            factor = Vector.Create(-Unsafe.Add(ref l, (term * GroupRows) + 3));
            a3 = VectorKernels.MultiplyAdd(factor, x, a3);
            b3 = VectorKernels.MultiplyAdd(factor, y, b3);
            Vector<T> upper = Vector.Max(Vector.Max(Vector.Abs(a0), Vector.Abs(b0)), Vector.Max(Vector.Abs(a1), Vector.Abs(b1)));
            Vector<T> lower = Vector.Max(Vector.Max(Vector.Abs(a2), Vector.Abs(b2)), Vector.Max(Vector.Abs(a3), Vector.Abs(b3)));
            largest[term] = Vector.Max(largest[term], Vector.Max(upper, lower));
        }
        a0.StoreUnsafe(ref values);
        b0.StoreUnsafe(ref values, width);
        a1.StoreUnsafe(ref values, stride);
        b1.StoreUnsafe(ref values, stride + width);
        a2.StoreUnsafe(ref values, 2 * stride);
        b2.StoreUnsafe(ref values, (2 * stride) + width);
        a3.StoreUnsafe(ref values, 3 * stride);
        b3.StoreUnsafe(ref values, (3 * stride) + width);
    }
}
