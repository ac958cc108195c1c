using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LowRankQuant.Numerics.LinearAlgebra.Vectors;

/// <summary>Loops over contiguous vectors (BLAS level 1). The order of every sum is fixed by the length and the machine's vector width.</summary>
internal static class VectorKernels
{
    /// <summary>a * b + c, fused where the machine can.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<T> MultiplyAdd<T>(Vector<T> a, Vector<T> b, Vector<T> c)
    {
        if (typeof(T) == typeof(double))
            return Vector.MultiplyAddEstimate(a.As<T, double>(), b.As<T, double>(), c.As<T, double>()).As<double, T>();
        if (typeof(T) == typeof(float))
            return Vector.MultiplyAddEstimate(a.As<T, float>(), b.As<T, float>(), c.As<T, float>()).As<float, T>();
        return (a * b) + c;
    }

    /// <summary>Sum of x[i] * y[i] over the length of <paramref name="x"/>.</summary>
    public static T Dot<T>(ReadOnlySpan<T> x, ReadOnlySpan<T> y)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        ref T rx = ref MemoryMarshal.GetReference(x), ry = ref MemoryMarshal.GetReference(y);
        int width = Vector<T>.Count, length = x.Length, i = 0;
        Vector<T> s0 = Vector<T>.Zero, s1 = s0, s2 = s0, s3 = s0;
        for (; i <= length - (4 * width); i += 4 * width)
        {
            nuint at = (nuint)i;
            s0 = MultiplyAdd(Vector.LoadUnsafe(ref rx, at), Vector.LoadUnsafe(ref ry, at), s0);
            s1 = MultiplyAdd(Vector.LoadUnsafe(ref rx, at + (nuint)width), Vector.LoadUnsafe(ref ry, at + (nuint)width), s1);
            s2 = MultiplyAdd(Vector.LoadUnsafe(ref rx, at + (nuint)(2 * width)), Vector.LoadUnsafe(ref ry, at + (nuint)(2 * width)), s2);
            s3 = MultiplyAdd(Vector.LoadUnsafe(ref rx, at + (nuint)(3 * width)), Vector.LoadUnsafe(ref ry, at + (nuint)(3 * width)), s3);
        }
        for (; i <= length - width; i += width)
            s0 = MultiplyAdd(Vector.LoadUnsafe(ref rx, (nuint)i), Vector.LoadUnsafe(ref ry, (nuint)i), s0);
        T sum = Vector.Sum((s0 + s1) + (s2 + s3));
        for (; i < length; i++) sum += x[i] * y[i];
        return sum;
    }

    /// <summary>y += factor * x.</summary>
    public static void AddScaled<T>(T factor, ReadOnlySpan<T> x, Span<T> y)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        ref T rx = ref MemoryMarshal.GetReference(x), ry = ref MemoryMarshal.GetReference(y);
        int width = Vector<T>.Count, i = 0;
        Vector<T> f = Vector.Create(factor);
        for (; i <= x.Length - width; i += width)
            MultiplyAdd(f, Vector.LoadUnsafe(ref rx, (nuint)i), Vector.LoadUnsafe(ref ry, (nuint)i)).StoreUnsafe(ref ry, (nuint)i);
        for (; i < x.Length; i++) y[i] += factor * x[i];
    }

    /// <summary>Largest |x[i]|; 0 for an empty vector.</summary>
    public static T MaxMagnitude<T>(ReadOnlySpan<T> x)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ref T rx = ref MemoryMarshal.GetReference(x);
        int width = Vector<T>.Count, i = 0;
        Vector<T> largest = Vector<T>.Zero;
        for (; i <= x.Length - width; i += width) largest = Vector.MaxNative(largest, Vector.Abs(Vector.LoadUnsafe(ref rx, (nuint)i)));
        T result = T.Zero;
        for (int lane = 0; lane < width; lane++) result = T.Max(result, largest[lane]);
        for (; i < x.Length; i++) result = T.Max(result, T.Abs(x[i]));
        return result;
    }

    /// <summary>z += f * x + g * y in one pass.</summary>
    public static void AddScaled<T>(T f, ReadOnlySpan<T> x, T g, ReadOnlySpan<T> y, Span<T> z)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        z = z[..x.Length];
        ref T rx = ref MemoryMarshal.GetReference(x), ry = ref MemoryMarshal.GetReference(y), rz = ref MemoryMarshal.GetReference(z);
        int width = Vector<T>.Count, i = 0;
        Vector<T> vf = Vector.Create(f), vg = Vector.Create(g);
        for (; i <= x.Length - width; i += width)
        {
            Vector<T> sum = MultiplyAdd(vf, Vector.LoadUnsafe(ref rx, (nuint)i), Vector.LoadUnsafe(ref rz, (nuint)i));
            MultiplyAdd(vg, Vector.LoadUnsafe(ref ry, (nuint)i), sum).StoreUnsafe(ref rz, (nuint)i);
        }
        for (; i < x.Length; i++) z[i] += (f * x[i]) + (g * y[i]);
    }

    /// <summary>Returns the dot product of x and y and adds factor * x to z, reading x once.</summary>
    public static T DotAndAddScaled<T>(ReadOnlySpan<T> x, ReadOnlySpan<T> y, T factor, Span<T> z)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        z = z[..x.Length];
        ref T rx = ref MemoryMarshal.GetReference(x), ry = ref MemoryMarshal.GetReference(y), rz = ref MemoryMarshal.GetReference(z);
        int width = Vector<T>.Count, i = 0;
        Vector<T> f = Vector.Create(factor), s0 = Vector<T>.Zero, s1 = s0;
        for (; i <= x.Length - (2 * width); i += 2 * width)
        {
            nuint low = (nuint)i, high = (nuint)(i + width);
            Vector<T> x0 = Vector.LoadUnsafe(ref rx, low), x1 = Vector.LoadUnsafe(ref rx, high);
            s0 = MultiplyAdd(x0, Vector.LoadUnsafe(ref ry, low), s0);
            s1 = MultiplyAdd(x1, Vector.LoadUnsafe(ref ry, high), s1);
            MultiplyAdd(f, x0, Vector.LoadUnsafe(ref rz, low)).StoreUnsafe(ref rz, low);
            MultiplyAdd(f, x1, Vector.LoadUnsafe(ref rz, high)).StoreUnsafe(ref rz, high);
        }
        T sum = Vector.Sum(s0 + s1);
        for (; i < x.Length; i++)
        {
            sum += x[i] * y[i];
            z[i] += factor * x[i];
        }
        return sum;
    }

    /// <summary>x.x, y.y and x.y in one pass.</summary>
    public static (T XX, T YY, T XY) Dots<T>(ReadOnlySpan<T> x, ReadOnlySpan<T> y)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        ref T rx = ref MemoryMarshal.GetReference(x), ry = ref MemoryMarshal.GetReference(y);
        int width = Vector<T>.Count, i = 0;
        Vector<T> xx0 = Vector<T>.Zero, yy0 = xx0, xy0 = xx0, xx1 = xx0, yy1 = xx0, xy1 = xx0;
        for (; i <= x.Length - (2 * width); i += 2 * width)
        {
            Vector<T> a = Vector.LoadUnsafe(ref rx, (nuint)i), b = Vector.LoadUnsafe(ref ry, (nuint)i);
            xx0 = MultiplyAdd(a, a, xx0);
            yy0 = MultiplyAdd(b, b, yy0);
            xy0 = MultiplyAdd(a, b, xy0);
            a = Vector.LoadUnsafe(ref rx, (nuint)(i + width));
            b = Vector.LoadUnsafe(ref ry, (nuint)(i + width));
            xx1 = MultiplyAdd(a, a, xx1);
            yy1 = MultiplyAdd(b, b, yy1);
            xy1 = MultiplyAdd(a, b, xy1);
        }
        T xx = Vector.Sum(xx0 + xx1), yy = Vector.Sum(yy0 + yy1), xy = Vector.Sum(xy0 + xy1);
        for (; i < x.Length; i++)
        {
            xx += x[i] * x[i];
            yy += y[i] * y[i];
            xy += x[i] * y[i];
        }
        return (xx, yy, xy);
    }

    /// <summary>Plane rotation: (x, y) becomes (c x + s y, c y - s x).</summary>
    public static void Rotate<T>(Span<T> x, Span<T> y, T c, T s)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        y = y[..x.Length];
        ref T rx = ref MemoryMarshal.GetReference(x), ry = ref MemoryMarshal.GetReference(y);
        int width = Vector<T>.Count, i = 0;
        Vector<T> vc = Vector.Create(c), vs = Vector.Create(s), minus = Vector.Create(-s);
        for (; i <= x.Length - width; i += width)
        {
            Vector<T> a = Vector.LoadUnsafe(ref rx, (nuint)i), b = Vector.LoadUnsafe(ref ry, (nuint)i);
            MultiplyAdd(vc, a, vs * b).StoreUnsafe(ref rx, (nuint)i);
            MultiplyAdd(vc, b, minus * a).StoreUnsafe(ref ry, (nuint)i);
        }
        for (; i < x.Length; i++)
        {
            T a = x[i], b = y[i];
            x[i] = (c * a) + (s * b);
            y[i] = (c * b) - (s * a);
        }
    }

    /// <summary>x *= factor.</summary>
    public static void Scale<T>(Span<T> x, T factor)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ref T rx = ref MemoryMarshal.GetReference(x);
        int width = Vector<T>.Count, i = 0;
        Vector<T> f = Vector.Create(factor);
        for (; i <= x.Length - width; i += width) (f * Vector.LoadUnsafe(ref rx, (nuint)i)).StoreUnsafe(ref rx, (nuint)i);
        for (; i < x.Length; i++) x[i] *= factor;
    }

    /// <summary>Euclidean length, without overflow or loss by underflow.</summary>
    public static T Length<T>(ReadOnlySpan<T> x)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T squares = Dot(x, x);
        // Between these limits no square that matters was lost and none overflowed.
        if (squares > MachineLimits<T>.Negligible && T.IsFinite(squares)) return T.Sqrt(squares);
        T largest = T.Zero;
        foreach (T value in x) largest = T.Max(largest, T.Abs(value));
        if (largest == T.Zero || !T.IsFinite(largest)) return largest;
        T sum = T.Zero;
        foreach (T value in x)
        {
            T ratio = value / largest;
            sum += ratio * ratio;
        }
        return largest * T.Sqrt(sum);
    }

    /// <summary>
    /// Householder reflection (Golub and Van Loan 5.1) that maps the vector (pivot, tail) to (beta, 0): I - tau v v^T with v = (1, v tail).
    /// Overwrites the pivot with beta and the tail with the tail of v; tau is 0 when nothing has to be reflected.
    /// </summary>
    public static T MakeReflector<T>(ref T pivot, Span<T> tail)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T tailLength = Length<T>(tail);
        if (tailLength <= MachineLimits<T>.Negligible)
        {
            tail.Clear();
            return T.Zero;
        }
        // The sign that avoids cancellation in pivot - beta.
        T beta = -T.CopySign(T.Hypot(pivot, tailLength), pivot);
        T tau = (beta - pivot) / beta;
        Scale(tail, T.One / (pivot - beta));
        pivot = beta;
        return tau;
    }
}
