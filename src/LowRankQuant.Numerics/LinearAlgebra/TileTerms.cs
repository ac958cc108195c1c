using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// One tile of a matrix, where it is or copied out so that it lies densely in cache, and the part of rank-one terms that falls on it. A measure takes
/// the terms off one after the other and looks at what remains after each, or all at once.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class TileTerms<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    // A micro tile: four rows, two vectors wide, stays in registers while all terms are taken off.
    private const int GroupRows = 4;
    private static readonly int Lanes = Vector512.IsHardwareAccelerated ? Vector512<T>.Count : Vector<T>.Count;
    private static readonly int GroupColumns = 2 * Lanes;
    private readonly int _rows;
    private readonly int _columns;
    private readonly Memory<T> _copy;
    private readonly T[] _minusLeft;
    private readonly Memory<T> _right;
    private readonly Memory<T> _largest;
    private Memory<T> _matrix;
    private int _stride;

    internal TileTerms(int rows, int columns, int terms, bool copies)
    {
        (Terms, _rows, _columns) = (terms, rows, columns);
        int wide = (columns + GroupColumns - 1) / GroupColumns * GroupColumns, high = (rows + GroupRows - 1) / GroupRows * GroupRows;
        _copy = copies ? AlignedMemory.Allocate<T>(rows * columns) : Memory<T>.Empty;
        _minusLeft = new T[high * terms];
        _right = AlignedMemory.Allocate<T>(wide * terms);
        _largest = AlignedMemory.Allocate<T>(terms * Lanes);
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
    public int Stride => Copies ? _columns : _stride;

    /// <summary>What remains of the tile.</summary>
    public ReadOnlySpan<T> Values => Tile;

    private bool Copies => !_copy.IsEmpty;

    private Span<T> Tile => Copies ? _copy.Span : _matrix.Span;

    /// <summary>Takes one term off.</summary>
    public void TakeOff(int term)
    {
        Span<T> tile = Tile, rights = _right.Span;
        for (int row = 0; row < Rows; row++)
        {
            T factor = _minusLeft[(row / GroupRows * GroupRows * Terms) + (term * GroupRows) + (row % GroupRows)];
            for (int column = 0; column < Columns; column += GroupColumns)
            {
                int width = Math.Min(GroupColumns, Columns - column);
                VectorKernels.AddScaled(factor, rights.Slice((column * Terms) + (term * GroupColumns), width), tile.Slice((row * Stride) + column, width));
            }
        }
    }

    /// <summary>Takes all terms off; figures[t] becomes the largest magnitude of what remains after term t.</summary>
    public void TakeOffAll(Span<double> figures)
    {
        Span<T> most = _largest.Span, tile = Tile, rights = _right.Span, border = stackalloc T[GroupRows * GroupColumns];
        most.Clear();
        for (int row = 0; row < Rows; row += GroupRows)
        {
            ref T minusLeft = ref _minusLeft[row * Terms];
            int high = Math.Min(GroupRows, Rows - row);
            for (int column = 0; column < Columns; column += GroupColumns)
            {
                Span<T> values = tile[((row * Stride) + column)..];
                int wide = Math.Min(GroupColumns, Columns - column);
                if (high == GroupRows && wide == GroupColumns)
                {
                    TakeOffMicroTile(ref values[0], Stride, ref minusLeft, ref rights[column * Terms], ref most[0]);
                    continue;
                }
                // What lies beyond the border is zero, in the terms too.
                border.Clear();
                for (int i = 0; i < high; i++) values.Slice(i * Stride, wide).CopyTo(border[(i * GroupColumns)..]);
                TakeOffMicroTile(ref border[0], GroupColumns, ref minusLeft, ref rights[column * Terms], ref most[0]);
                for (int i = 0; i < high; i++) border.Slice(i * GroupColumns, wide).CopyTo(values[(i * Stride)..]);
            }
        }
        for (int term = 0; term < Terms; term++) figures[term] = double.CreateChecked(VectorKernels.MaxMagnitude<T>(most.Slice(term * Lanes, Lanes)));
    }

    /// <summary>Whether the memory is that of a tile of this size.</summary>
    internal bool Holds(int rows, int columns, int terms, bool copies) => Terms == terms && _rows == rows && _columns == columns && Copies == copies;

    /// <summary>Moves the tile to a place of the matrix.</summary>
    /// <param name="matrix">The matrix from the tile's first element on.</param>
    /// <param name="stride">Elements between its rows.</param>
    /// <param name="firstRow">The tile's first row.</param>
    /// <param name="rows">Rows of the tile.</param>
    /// <param name="columns">Columns of the tile.</param>
    /// <param name="left">[terms, ...]: the left vectors from the tile's first row on.</param>
    /// <param name="leftStride">Elements between left vectors.</param>
    /// <param name="leftToo">Whether the left vectors differ from those of the tile before.</param>
    /// <param name="right">[terms, ...]: the right vectors from the tile's first column on.</param>
    internal void Load(
        Memory<T> matrix, int stride, int firstRow, int rows, int columns, ReadOnlySpan<T> left, int leftStride, bool leftToo, ReadOnlySpan<T> right)
    {
        // What an earlier, larger tile left beyond the borders must be gone.
        if (rows < Rows) Array.Clear(_minusLeft);
        if (columns < Columns) _right.Span.Clear();
        (_matrix, _stride, FirstRow, Rows, Columns) = (matrix, stride, firstRow, rows, columns);
        for (int row = 0; Copies && row < rows; row++) matrix.Span.Slice(row * stride, columns).CopyTo(_copy.Span[(row * Stride)..]);
        Span<T> rights = _right.Span;
        for (int term = 0; term < Terms; term++)
        {
            for (int row = 0; leftToo && row < rows; row++)
                _minusLeft[(row / GroupRows * GroupRows * Terms) + (term * GroupRows) + (row % GroupRows)] = -left[(term * leftStride) + row];
            for (int column = 0; column < columns; column += GroupColumns)
            {
                int width = Math.Min(GroupColumns, columns - column);
                right.Slice((term * stride) + column, width).CopyTo(rights[((column * Terms) + (term * GroupColumns))..]);
            }
        }
    }

    /// <summary>Writes what remains back.</summary>
    internal void Store()
    {
        for (int row = 0; Copies && row < Rows; row++) _copy.Span.Slice(row * Stride, Columns).CopyTo(_matrix.Span[(row * _stride)..]);
    }

    private void TakeOffMicroTile(ref T values, int stride, ref T minusLeft, ref T right, ref T largest)
    {
        if (Vector512.IsHardwareAccelerated) TakeOffMicroTile<Wide512<T>>(ref values, (nuint)stride, ref minusLeft, ref right, ref largest);
        else TakeOffMicroTile<WideVector<T>>(ref values, (nuint)stride, ref minusLeft, ref right, ref largest);
    }

    // The caller has seen to it that the micro tile lies within its memory; the terms are padded to whole ones.
    private void TakeOffMicroTile<W>(ref T values, nuint stride, ref T l, ref T r, ref T largest)
        where W : struct, IWide<W, T>
    {
        nuint width = (nuint)W.Count;
        W a0 = W.Load(ref values, 0), b0 = W.Load(ref values, width);
        W a1 = W.Load(ref values, stride), b1 = W.Load(ref values, stride + width);
        W a2 = W.Load(ref values, 2 * stride), b2 = W.Load(ref values, (2 * stride) + width);
        W a3 = W.Load(ref values, 3 * stride), b3 = W.Load(ref values, (3 * stride) + width);
        for (int term = 0; term < Terms; term++)
        {
            W x = W.Load(ref r, 0), y = W.Load(ref r, width);
            r = ref Unsafe.Add(ref r, 2 * width);
            W factor = W.Create(l);
            a0 = W.MultiplyAdd(factor, x, a0);
            b0 = W.MultiplyAdd(factor, y, b0);
            factor = W.Create(Unsafe.Add(ref l, 1));
            a1 = W.MultiplyAdd(factor, x, a1);
            b1 = W.MultiplyAdd(factor, y, b1);
            factor = W.Create(Unsafe.Add(ref l, 2));
            a2 = W.MultiplyAdd(factor, x, a2);
            b2 = W.MultiplyAdd(factor, y, b2);
            factor = W.Create(Unsafe.Add(ref l, 3));
            a3 = W.MultiplyAdd(factor, x, a3);
            b3 = W.MultiplyAdd(factor, y, b3);
            l = ref Unsafe.Add(ref l, GroupRows);
            W most = W.LargerMagnitude(W.LargerMagnitude(W.LargerMagnitude(W.LargerMagnitude(W.Load(ref largest, 0), a0), b0), a1), b1);
            most = W.LargerMagnitude(W.LargerMagnitude(W.LargerMagnitude(W.LargerMagnitude(most, a2), b2), a3), b3);
            most.Store(ref largest, 0);
            largest = ref Unsafe.Add(ref largest, width);
        }
        a0.Store(ref values, 0);
        b0.Store(ref values, width);
        a1.Store(ref values, stride);
        b1.Store(ref values, stride + width);
        a2.Store(ref values, 2 * stride);
        b2.Store(ref values, (2 * stride) + width);
        a3.Store(ref values, 3 * stride);
        b3.Store(ref values, (3 * stride) + width);
    }
}
