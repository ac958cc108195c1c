using System.Runtime.CompilerServices;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Products of blocks that lie in the nearest caches: c [m, n] (+)= a [m, k] b [k, n], where element (i, p) of a is at a[i * aRow + p * aInner], rows
/// of b and c are contiguous and n is a multiple of the lanes of V. Tiles of rows by two registers stay in registers over the whole of k.
/// </summary>
internal static unsafe class SmallProduct<V>
    where V : struct, IVector<V>
{
    /// <summary>No limit.</summary>
    public const int All = int.MaxValue / 2;

    /// <param name="m">Rows of c.</param>
    /// <param name="n">Columns of c.</param>
    /// <param name="k">Inner size.</param>
    /// <param name="a">First element of a.</param>
    /// <param name="aRow">Floats between rows of a.</param>
    /// <param name="aInner">Floats between the elements of a row of a.</param>
    /// <param name="b">First element of b.</param>
    /// <param name="ldb">Floats between rows of b.</param>
    /// <param name="c">First element of c.</param>
    /// <param name="ldc">Floats between rows of c.</param>
    /// <param name="accumulate">Add to c.</param>
    /// <param name="columnLimit">Only columns up to i + columnLimit of row i are needed; others may be left as they are.</param>
    /// <param name="innerLimit">a[i, p] is zero for p above i + innerLimit.</param>
    /// <param name="innerStart">a[i, p] is zero for p below i - innerStart.</param>
    public static void Multiply(
        int m, int n, int k, float* a, int aRow, int aInner, float* b, int ldb, float* c, int ldc, bool accumulate,
        int columnLimit = All, int innerLimit = All, int innerStart = All)
    {
        for (int j = 0; j < n; j += 2 * V.Count)
        {
            bool pair = j <= n - (2 * V.Count);
            int rows;
            for (int i = 0; i < m; i += rows)
            {
                rows = !pair || m - i < 4 ? 1 : V.ManyRegisters && m - i >= 8 ? 8 : 4;
                if (j > i + rows - 1 + columnLimit) continue;
                int first = Math.Max(0, i - innerStart), inner = Math.Min(k, i + rows + innerLimit) - first;
                float* left = a + (i * aRow) + (first * aInner), right = b + (first * ldb) + j, target = c + (i * ldc) + j;
                if (!pair) Single(inner, left, aInner, right, ldb, target, accumulate);
                else if (rows == 8) Tile8(inner, left, aRow, aInner, right, ldb, target, ldc, accumulate);
                else if (rows == 4) Tile4(inner, left, aRow, aInner, right, ldb, target, ldc, accumulate);
                else Tile1(inner, left, aInner, right, ldb, target, accumulate);
            }
        }
    }

    private static void Tile8(int k, float* a, int aRow, int aInner, float* b, int ldb, float* c, int ldc, bool accumulate)
    {
        V c00 = V.Zero, c01 = V.Zero, c10 = V.Zero, c11 = V.Zero, c20 = V.Zero, c21 = V.Zero, c30 = V.Zero, c31 = V.Zero;
        V c40 = V.Zero, c41 = V.Zero, c50 = V.Zero, c51 = V.Zero, c60 = V.Zero, c61 = V.Zero, c70 = V.Zero, c71 = V.Zero;
        nint row = aRow, row3 = 3 * row;
        float* a4 = a + (4 * row);
        for (int p = 0; p < k; p++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Count);
            Step(a, b0, b1, ref c00, ref c01);
            Step(a + row, b0, b1, ref c10, ref c11);
            Step(a + (2 * row), b0, b1, ref c20, ref c21);
            Step(a + row3, b0, b1, ref c30, ref c31);
            Step(a4, b0, b1, ref c40, ref c41);
            Step(a4 + row, b0, b1, ref c50, ref c51);
            Step(a4 + (2 * row), b0, b1, ref c60, ref c61);
            Step(a4 + row3, b0, b1, ref c70, ref c71);
            a += aInner;
            a4 += aInner;
            b += ldb;
        }
        Finish(c, c00, c01, accumulate);
        Finish(c + ldc, c10, c11, accumulate);
        Finish(c + (2 * ldc), c20, c21, accumulate);
        Finish(c + (3 * ldc), c30, c31, accumulate);
        Finish(c + (4 * ldc), c40, c41, accumulate);
        Finish(c + (5 * ldc), c50, c51, accumulate);
        Finish(c + (6 * ldc), c60, c61, accumulate);
        Finish(c + (7 * ldc), c70, c71, accumulate);
    }

    private static void Tile4(int k, float* a, int aRow, int aInner, float* b, int ldb, float* c, int ldc, bool accumulate)
    {
        V c00 = V.Zero, c01 = V.Zero, c10 = V.Zero, c11 = V.Zero, c20 = V.Zero, c21 = V.Zero, c30 = V.Zero, c31 = V.Zero;
        nint row = aRow, row3 = 3 * row;
        for (int p = 0; p < k; p++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Count);
            Step(a, b0, b1, ref c00, ref c01);
            Step(a + row, b0, b1, ref c10, ref c11);
            Step(a + (2 * row), b0, b1, ref c20, ref c21);
            Step(a + row3, b0, b1, ref c30, ref c31);
            a += aInner;
            b += ldb;
        }
        Finish(c, c00, c01, accumulate);
        Finish(c + ldc, c10, c11, accumulate);
        Finish(c + (2 * ldc), c20, c21, accumulate);
        Finish(c + (3 * ldc), c30, c31, accumulate);
    }

    private static void Tile1(int k, float* a, int aInner, float* b, int ldb, float* c, bool accumulate)
    {
        V c0 = V.Zero, c1 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            Step(a, V.Load(b), V.Load(b + V.Count), ref c0, ref c1);
            a += aInner;
            b += ldb;
        }
        Finish(c, c0, c1, accumulate);
    }

    private static void Single(int k, float* a, int aInner, float* b, int ldb, float* c, bool accumulate)
    {
        V sum = V.Zero;
        for (int p = 0; p < k; p++)
        {
            sum = V.MultiplyAdd(V.Create(*a), V.Load(b), sum);
            a += aInner;
            b += ldb;
        }
        if (accumulate) sum += V.Load(c);
        sum.Store(c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(float* a, V b0, V b1, ref V c0, ref V c1)
    {
        V x = V.Create(*a);
        c0 = V.MultiplyAdd(x, b0, c0);
        c1 = V.MultiplyAdd(x, b1, c1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* c, V c0, V c1, bool accumulate)
    {
        if (accumulate)
        {
            c0 += V.Load(c);
            c1 += V.Load(c + V.Count);
        }
        c0.Store(c);
        c1.Store(c + V.Count);
    }
}
