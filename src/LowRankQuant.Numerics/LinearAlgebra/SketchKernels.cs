using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>
/// The inner loops of <see cref="R1Sketch{T}"/>: y_i = a_i z and sums += y_i a_i for groups of <see cref="Rows"/> rows. A row's second use must wait for
/// its whole first one, so each walk takes the products of one group of rows, which come from memory, together with the sums of the group before, which
/// is still in cache: memory never waits for arithmetic.
/// </summary>
internal static class SketchKernels
{
    /// <summary>Rows of a group.</summary>
    public const int Rows = 4;

    /// <summary>products[r] = ahead_r . z and sums += factors[r] behind_r.</summary>
    /// <param name="rows">The group behind and, after it, the one ahead: [2 * 4, columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="z">[columns].</param>
    /// <param name="factors">[4], of the group behind.</param>
    /// <param name="sums">[columns].</param>
    /// <param name="products">[4], of the group ahead.</param>
    public static void ProductsAndSums<T>(
        ReadOnlySpan<T> rows, int columns, ReadOnlySpan<T> z, ReadOnlySpan<T> factors, Span<T> sums, Span<T> products)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(rows.Length, columns, z.Length, sums.Length, factors.Length, products.Length);
        ref T b0 = ref MemoryMarshal.GetReference(rows), b1 = ref Unsafe.Add(ref b0, columns), b2 = ref Unsafe.Add(ref b1, columns), b3 = ref Unsafe.Add(ref b2, columns);
        ref T a0 = ref Unsafe.Add(ref b3, columns), a1 = ref Unsafe.Add(ref a0, columns), a2 = ref Unsafe.Add(ref a1, columns), a3 = ref Unsafe.Add(ref a2, columns);
        ref T rz = ref MemoryMarshal.GetReference(z), rs = ref MemoryMarshal.GetReference(sums);
        T f0 = factors[0], f1 = factors[1], f2 = factors[2], f3 = factors[3];
        Vector<T> v0 = Vector.Create(f0), v1 = Vector.Create(f1), v2 = Vector.Create(f2), v3 = Vector.Create(f3);
        Vector<T> p0 = Vector<T>.Zero, p1 = p0, p2 = p0, p3 = p0;
        int width = Vector<T>.Count, i = 0;
        for (; i <= columns - width; i += width)
        {
            nuint at = (nuint)i;
            Vector<T> x = Vector.LoadUnsafe(ref rz, at);
            p0 = VectorKernels.MultiplyAdd(Vector.LoadUnsafe(ref a0, at), x, p0);
            p1 = VectorKernels.MultiplyAdd(Vector.LoadUnsafe(ref a1, at), x, p1);
            p2 = VectorKernels.MultiplyAdd(Vector.LoadUnsafe(ref a2, at), x, p2);
            p3 = VectorKernels.MultiplyAdd(Vector.LoadUnsafe(ref a3, at), x, p3);
            Vector<T> sum = VectorKernels.MultiplyAdd(v0, Vector.LoadUnsafe(ref b0, at), Vector.LoadUnsafe(ref rs, at));
            sum = VectorKernels.MultiplyAdd(v1, Vector.LoadUnsafe(ref b1, at), sum);
            sum = VectorKernels.MultiplyAdd(v2, Vector.LoadUnsafe(ref b2, at), sum);
            VectorKernels.MultiplyAdd(v3, Vector.LoadUnsafe(ref b3, at), sum).StoreUnsafe(ref rs, at);
        }
        (T s0, T s1, T s2, T s3) = (Vector.Sum(p0), Vector.Sum(p1), Vector.Sum(p2), Vector.Sum(p3));
        for (; i < columns; i++)
        {
            T x = z[i];
            s0 += Unsafe.Add(ref a0, i) * x;
            s1 += Unsafe.Add(ref a1, i) * x;
            s2 += Unsafe.Add(ref a2, i) * x;
            s3 += Unsafe.Add(ref a3, i) * x;
            sums[i] += (f0 * Unsafe.Add(ref b0, i)) + (f1 * Unsafe.Add(ref b1, i)) + (f2 * Unsafe.Add(ref b2, i)) + (f3 * Unsafe.Add(ref b3, i));
        }
        (products[0], products[1], products[2], products[3]) = (s0, s1, s2, s3);
    }

    /// <summary>
    /// ahead_r -= p[r] k, then <see cref="ProductsAndSums"/> on what remains; returns the largest magnitude of what remains of the group ahead.
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
        Require(rows.Length, columns, Math.Min(z.Length, k.Length), sums.Length, Math.Min(factors.Length, p.Length), products.Length);
        ref T b0 = ref MemoryMarshal.GetReference(rows), b1 = ref Unsafe.Add(ref b0, columns), b2 = ref Unsafe.Add(ref b1, columns), b3 = ref Unsafe.Add(ref b2, columns);
        ref T a0 = ref Unsafe.Add(ref b3, columns), a1 = ref Unsafe.Add(ref a0, columns), a2 = ref Unsafe.Add(ref a1, columns), a3 = ref Unsafe.Add(ref a2, columns);
        ref T rz = ref MemoryMarshal.GetReference(z), rk = ref MemoryMarshal.GetReference(k), rs = ref MemoryMarshal.GetReference(sums);
        T f0 = factors[0], f1 = factors[1], f2 = factors[2], f3 = factors[3];
        Vector<T> v0 = Vector.Create(f0), v1 = Vector.Create(f1), v2 = Vector.Create(f2), v3 = Vector.Create(f3);
        Vector<T> d0 = Vector.Create(-p[0]), d1 = Vector.Create(-p[1]), d2 = Vector.Create(-p[2]), d3 = Vector.Create(-p[3]);
        Vector<T> p0 = Vector<T>.Zero, p1 = p0, p2 = p0, p3 = p0, largest = p0;
        int width = Vector<T>.Count, i = 0;
        for (; i <= columns - width; i += width)
        {
            nuint at = (nuint)i;
            Vector<T> x = Vector.LoadUnsafe(ref rz, at), direction = Vector.LoadUnsafe(ref rk, at);
            Vector<T> rest = VectorKernels.MultiplyAdd(d0, direction, Vector.LoadUnsafe(ref a0, at));
            rest.StoreUnsafe(ref a0, at);
            largest = Vector.Max(largest, Vector.Abs(rest));
            p0 = VectorKernels.MultiplyAdd(rest, x, p0);
            rest = VectorKernels.MultiplyAdd(d1, direction, Vector.LoadUnsafe(ref a1, at));
            rest.StoreUnsafe(ref a1, at);
            largest = Vector.Max(largest, Vector.Abs(rest));
            p1 = VectorKernels.MultiplyAdd(rest, x, p1);
            rest = VectorKernels.MultiplyAdd(d2, direction, Vector.LoadUnsafe(ref a2, at));
            rest.StoreUnsafe(ref a2, at);
            largest = Vector.Max(largest, Vector.Abs(rest));
            p2 = VectorKernels.MultiplyAdd(rest, x, p2);
            rest = VectorKernels.MultiplyAdd(d3, direction, Vector.LoadUnsafe(ref a3, at));
            rest.StoreUnsafe(ref a3, at);
            largest = Vector.Max(largest, Vector.Abs(rest));
            p3 = VectorKernels.MultiplyAdd(rest, x, p3);
            Vector<T> sum = VectorKernels.MultiplyAdd(v0, Vector.LoadUnsafe(ref b0, at), Vector.LoadUnsafe(ref rs, at));
            sum = VectorKernels.MultiplyAdd(v1, Vector.LoadUnsafe(ref b1, at), sum);
            sum = VectorKernels.MultiplyAdd(v2, Vector.LoadUnsafe(ref b2, at), sum);
            VectorKernels.MultiplyAdd(v3, Vector.LoadUnsafe(ref b3, at), sum).StoreUnsafe(ref rs, at);
        }
        (products[0], products[1], products[2], products[3]) = (Vector.Sum(p0), Vector.Sum(p1), Vector.Sum(p2), Vector.Sum(p3));
        T result = VectorKernels.LargestLane(largest);
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

    // The loops run without bounds checks, so this is the check.
    private static void Require(int rows, int columns, int z, int sums, int factors, int products)
    {
        if (rows < 2 * Rows * columns || z < columns || sums < columns || factors < Rows || products < Rows)
            throw new ArgumentException($"{rows} elements, vectors of {z} and {sums}, {factors} factors for two groups of {Rows} rows of {columns}.");
    }
}
