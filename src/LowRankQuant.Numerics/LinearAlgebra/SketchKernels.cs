using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// The inner loops of <see cref="R1Sketch{T}"/> on groups of <see cref="Rows"/> rows: products y_r = a_r z and sums += y_r a_r, so that a group is read from
/// memory once. Measured on 4096 x 4096 floats: the two in turn, the second from cache, pass at two thirds of the speed of plain reading, and mixed
/// into one loop at less than half; with deflation, which writes, it is the other way round, and fetching ahead helps.
/// </summary>
internal static class SketchKernels
{
    /// <summary>Rows of a group.</summary>
    public const int Rows = 4;

    // The processor's own fetching ahead stops at pages.
    private const int FetchAheadBytes = 2048;

    /// <summary>products[r] = row_r . z, then sums += products[r] row_r.</summary>
    /// <param name="rows">[4, columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="z">[columns].</param>
    /// <param name="sums">[columns].</param>
    /// <param name="products">[4].</param>
    public static void ProductsAndSums<T>(ReadOnlySpan<T> rows, int columns, ReadOnlySpan<T> z, Span<T> sums, Span<T> products)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(rows.Length, Rows * columns, columns, z.Length, sums.Length, products.Length);
        ref T first = ref MemoryMarshal.GetReference(rows);
        if (Vector512.IsHardwareAccelerated)
        {
            for (int r = 0; r < Rows; r++) products[r] = Dot<T, Wide512<T>>(ref Unsafe.Add(ref first, r * columns), z, columns);
            AddSums<T, Wide512<T>>(ref first, columns, products, sums);
            return;
        }
        for (int r = 0; r < Rows; r++) products[r] = Dot<T, WideVector<T>>(ref Unsafe.Add(ref first, r * columns), z, columns);
        AddSums<T, WideVector<T>>(ref first, columns, products, sums);
    }

    /// <summary>sums += factors[r] row_r.</summary>
    /// <param name="rows">[4, columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="factors">[4].</param>
    /// <param name="sums">[columns].</param>
    public static void AddSums<T>(ReadOnlySpan<T> rows, int columns, ReadOnlySpan<T> factors, Span<T> sums)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(rows.Length, Rows * columns, columns, columns, sums.Length, factors.Length);
        ref T first = ref MemoryMarshal.GetReference(rows);
        if (Vector512.IsHardwareAccelerated) AddSums<T, Wide512<T>>(ref first, columns, factors, sums);
        else AddSums<T, WideVector<T>>(ref first, columns, factors, sums);
    }

    /// <summary>
    /// ahead_r -= p[r] k, products[r] = ahead_r . z and sums += factors[r] behind_r; returns the largest magnitude of what remains of the group ahead.
    /// </summary>
    /// <param name="rows">The group behind and, after it, the one ahead: [2 * 4, columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="p">[4], of the group ahead.</param>
    /// <param name="k">[columns].</param>
    /// <param name="z">[columns].</param>
    /// <param name="factors">[4], of the group behind.</param>
    /// <param name="sums">[columns].</param>
    /// <param name="products">[4], of the group ahead.</param>
    public static T DeflateProductsAndSums<T>(
        Span<T> rows, int columns, ReadOnlySpan<T> p, ReadOnlySpan<T> k, ReadOnlySpan<T> z, ReadOnlySpan<T> factors, Span<T> sums, Span<T> products)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(rows.Length, 2 * Rows * columns, columns, Math.Min(z.Length, k.Length), sums.Length, Math.Min(products.Length, Math.Min(factors.Length, p.Length)));
        return Vector512.IsHardwareAccelerated
            ? Deflate<T, Wide512<T>>(rows, columns, p, k, z, factors, sums, products)
            : Deflate<T, WideVector<T>>(rows, columns, p, k, z, factors, sums, products);
    }

    private static T Dot<T, W>(ref T row, ReadOnlySpan<T> z, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
        where W : struct, IWide<W, T>
    {
        ref T rz = ref MemoryMarshal.GetReference(z);
        W s0 = W.Create(T.Zero), s1 = s0, s2 = s0, s3 = s0;
        int width = W.Count, i = 0;
        for (; i <= columns - (4 * width); i += 4 * width)
        {
            nuint at = (nuint)i, step = (nuint)width;
            s0 = W.MultiplyAdd(W.Load(ref row, at), W.Load(ref rz, at), s0);
            s1 = W.MultiplyAdd(W.Load(ref row, at + step), W.Load(ref rz, at + step), s1);
            s2 = W.MultiplyAdd(W.Load(ref row, at + (2 * step)), W.Load(ref rz, at + (2 * step)), s2);
            s3 = W.MultiplyAdd(W.Load(ref row, at + (3 * step)), W.Load(ref rz, at + (3 * step)), s3);
        }
        T sum = s0.Sum() + s1.Sum() + (s2.Sum() + s3.Sum());
        for (; i < columns; i++) sum += Unsafe.Add(ref row, i) * z[i];
        return sum;
    }

    private static void AddSums<T, W>(ref T first, int columns, ReadOnlySpan<T> factors, Span<T> sums)
        where T : unmanaged, IFloatingPointIeee754<T>
        where W : struct, IWide<W, T>
    {
        ref T b0 = ref first, b1 = ref Unsafe.Add(ref b0, columns), b2 = ref Unsafe.Add(ref b1, columns), b3 = ref Unsafe.Add(ref b2, columns);
        ref T rs = ref MemoryMarshal.GetReference(sums);
        T f0 = factors[0], f1 = factors[1], f2 = factors[2], f3 = factors[3];
        W v0 = W.Create(f0), v1 = W.Create(f1), v2 = W.Create(f2), v3 = W.Create(f3);
        int i = 0;
        for (; i <= columns - W.Count; i += W.Count)
        {
            nuint at = (nuint)i;
            W sum = W.MultiplyAdd(v0, W.Load(ref b0, at), W.Load(ref rs, at));
            sum = W.MultiplyAdd(v1, W.Load(ref b1, at), sum);
            sum = W.MultiplyAdd(v2, W.Load(ref b2, at), sum);
            W.MultiplyAdd(v3, W.Load(ref b3, at), sum).Store(ref rs, at);
        }
        for (; i < columns; i++)
            sums[i] += (f0 * Unsafe.Add(ref b0, i)) + (f1 * Unsafe.Add(ref b1, i)) + (f2 * Unsafe.Add(ref b2, i)) + (f3 * Unsafe.Add(ref b3, i));
    }

    private static T Deflate<T, W>(
        Span<T> rows, int columns, ReadOnlySpan<T> p, ReadOnlySpan<T> k, ReadOnlySpan<T> z, ReadOnlySpan<T> factors, Span<T> sums, Span<T> products)
        where T : unmanaged, IFloatingPointIeee754<T>
        where W : struct, IWide<W, T>
    {
        ref T b0 = ref MemoryMarshal.GetReference(rows), b1 = ref Unsafe.Add(ref b0, columns), b2 = ref Unsafe.Add(ref b1, columns), b3 = ref Unsafe.Add(ref b2, columns);
        ref T a0 = ref Unsafe.Add(ref b3, columns), a1 = ref Unsafe.Add(ref a0, columns), a2 = ref Unsafe.Add(ref a1, columns), a3 = ref Unsafe.Add(ref a2, columns);
        ref T rz = ref MemoryMarshal.GetReference(z), rk = ref MemoryMarshal.GetReference(k), rs = ref MemoryMarshal.GetReference(sums);
        W v0 = W.Create(factors[0]), v1 = W.Create(factors[1]), v2 = W.Create(factors[2]), v3 = W.Create(factors[3]);
        W d0 = W.Create(-p[0]), d1 = W.Create(-p[1]), d2 = W.Create(-p[2]), d3 = W.Create(-p[3]);
        W p0 = W.Create(T.Zero), p1 = p0, p2 = p0, p3 = p0, largest = p0;
        int i = 0;
        for (; i <= columns - W.Count; i += W.Count)
        {
            nuint at = (nuint)i;
            FetchAhead(ref a0, ref a1, ref a2, ref a3, i);
            W x = W.Load(ref rz, at), direction = W.Load(ref rk, at);
            W r0 = W.MultiplyAdd(d0, direction, W.Load(ref a0, at)), r1 = W.MultiplyAdd(d1, direction, W.Load(ref a1, at));
            W r2 = W.MultiplyAdd(d2, direction, W.Load(ref a2, at)), r3 = W.MultiplyAdd(d3, direction, W.Load(ref a3, at));
            r0.Store(ref a0, at);
            r1.Store(ref a1, at);
            r2.Store(ref a2, at);
            r3.Store(ref a3, at);
            largest = W.LargerMagnitude(W.LargerMagnitude(W.LargerMagnitude(W.LargerMagnitude(largest, r0), r1), r2), r3);
            p0 = W.MultiplyAdd(r0, x, p0);
            p1 = W.MultiplyAdd(r1, x, p1);
            p2 = W.MultiplyAdd(r2, x, p2);
            p3 = W.MultiplyAdd(r3, x, p3);
            W sum = W.MultiplyAdd(v0, W.Load(ref b0, at), W.Load(ref rs, at));
            sum = W.MultiplyAdd(v1, W.Load(ref b1, at), sum);
            sum = W.MultiplyAdd(v2, W.Load(ref b2, at), sum);
            W.MultiplyAdd(v3, W.Load(ref b3, at), sum).Store(ref rs, at);
        }
        (products[0], products[1], products[2], products[3]) = (p0.Sum(), p1.Sum(), p2.Sum(), p3.Sum());
        T result = largest.Largest();
        for (; i < columns; i++)
        {
            T sum = sums[i];
            for (int r = 0; r < Rows; r++)
            {
                ref T rest = ref Unsafe.Add(ref a0, (r * columns) + i);
                rest -= p[r] * k[i];
                result = T.Max(result, T.Abs(rest));
                products[r] += rest * z[i];
                sum += factors[r] * Unsafe.Add(ref b0, (r * columns) + i);
            }
            sums[i] = sum;
        }
        return result;
    }

    // A hint only: an address that has moved or lies beyond the end does no harm.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe void FetchAhead<T>(ref T a0, ref T a1, ref T a2, ref T a3, int at)
        where T : unmanaged
    {
        if (!Sse.IsSupported) return;
        nint bytes = ((nint)at * sizeof(T)) + FetchAheadBytes;
        Sse.Prefetch0((byte*)Unsafe.AsPointer(ref a0) + bytes);
        Sse.Prefetch0((byte*)Unsafe.AsPointer(ref a1) + bytes);
        Sse.Prefetch0((byte*)Unsafe.AsPointer(ref a2) + bytes);
        Sse.Prefetch0((byte*)Unsafe.AsPointer(ref a3) + bytes);
    }

    // The loops run without bounds checks, so this is the check.
    private static void Require(int elements, int needed, int columns, int vectors, int sums, int factors)
    {
        if (elements < needed || vectors < columns || sums < columns || factors < Rows)
            throw new ArgumentException($"{elements} elements, vectors of {vectors} and {sums}, {factors} factors for groups of {Rows} rows of {columns}.");
    }
}
