using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd.Vectors;

/// <summary>
/// Copies a stretch of a matrix into a panel [k, width], which the tile kernels read from front to back. Rows beyond the matrix's edge are
/// zeros, so the kernels know no edges.
/// </summary>
internal static unsafe class GemmPack
{
    /// <summary>Panel from <paramref name="k"/> rows of <paramref name="count"/> floats.</summary>
    public static void Straight(float* source, nint stride, int count, int k, float* panel, int width)
    {
        if (count == width)
        {
            if (width % 16 == 0 && Vector512.IsHardwareAccelerated)
            {
                for (int p = 0; p < k; p++, source += stride, panel += width)
                {
                    for (int i = 0; i < width; i += 16) Vector512.Load(source + i).Store(panel + i);
                }
                return;
            }
            if (width == 8)
            {
                for (int p = 0; p < k; p++, source += stride, panel += 8) Vector256.Load(source).Store(panel);
                return;
            }
            if (width == 6)
            {
                for (int p = 0; p < k; p++, source += stride, panel += 6)
                {
                    Vector128.Load(source).Store(panel);
                    Unsafe.WriteUnaligned(panel + 4, Unsafe.ReadUnaligned<long>(source + 4));
                }
                return;
            }
        }
        for (int p = 0; p < k; p++, source += stride, panel += width)
        {
            Unsafe.CopyBlockUnaligned(panel, source, (uint)count * sizeof(float));
            if (count < width) new Span<float>(panel + count, width - count).Clear();
        }
    }

    /// <summary>Panel from <paramref name="count"/> rows of <paramref name="k"/> floats, which become its columns.</summary>
    public static void Transposed(float* source, nint stride, int count, int k, float* panel, int width)
    {
        int p = 0;
        if (Avx.IsSupported && width >= 8)
        {
            for (; p <= k - 8; p += 8)
            {
                int r = 0;
                for (; r <= count - 8; r += 8) Transpose8(source + (r * stride) + p, stride, panel + (p * width) + r, width);
                if (r <= count - 4)
                {
                    Transpose4(source + (r * stride) + p, stride, panel + (p * width) + r, width);
                    Transpose4(source + (r * stride) + p + 4, stride, panel + ((p + 4) * width) + r, width);
                    r += 4;
                }
                if (r < width) Gather(source, stride, r, count, p, p + 8, panel, width);
            }
        }
        else if (width == 6 && count == 6)
        {
            for (; p <= k - 4; p += 4) Transpose6(source + p, stride, panel + (p * 6));
        }
        else
        {
            for (; p <= k - 4; p += 4)
            {
                int r = 0;
                for (; r <= count - 4; r += 4) Transpose4(source + (r * stride) + p, stride, panel + (p * width) + r, width);
                if (r < width) Gather(source, stride, r, count, p, p + 4, panel, width);
            }
        }
        Gather(source, stride, 0, count, p, k, panel, width);
    }

    private static void Gather(float* source, nint stride, int first, int count, int start, int end, float* panel, int width)
    {
        for (int p = start; p < end; p++)
        {
            float* row = panel + ((nint)p * width);
            int r = first;
            for (; r < count; r++) row[r] = source[(r * stride) + p];
            for (; r < width; r++) row[r] = 0;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4(float* source, nint stride, float* target, int width)
    {
        (Vector128<float> low01, Vector128<float> high01) = Zip(source, source + stride);
        (Vector128<float> low23, Vector128<float> high23) = Zip(source + (2 * stride), source + (3 * stride));
        Vector128.Create(low01.GetLower(), low23.GetLower()).Store(target);
        Vector128.Create(low01.GetUpper(), low23.GetUpper()).Store(target + width);
        Vector128.Create(high01.GetLower(), high23.GetLower()).Store(target + (2 * width));
        Vector128.Create(high01.GetUpper(), high23.GetUpper()).Store(target + (3 * width));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose6(float* source, nint stride, float* target)
    {
        Transpose4(source, stride, target, 6);
        (Vector128<float> low, Vector128<float> high) = Zip(source + (4 * stride), source + (5 * stride));
        low.GetLower().Store(target + 4);
        low.GetUpper().Store(target + 10);
        high.GetLower().Store(target + 16);
        high.GetUpper().Store(target + 22);
    }

    /// <summary>Pairs of equal place from two rows of four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<float> Low, Vector128<float> High) Zip(float* first, float* second)
    {
        Vector128<float> x = Vector128.Load(first), y = Vector128.Load(second);
        if (Sse.IsSupported) return (Sse.UnpackLow(x, y), Sse.UnpackHigh(x, y));
        if (AdvSimd.Arm64.IsSupported) return (AdvSimd.Arm64.ZipLow(x, y), AdvSimd.Arm64.ZipHigh(x, y));
        return (Vector128.Create(x[0], y[0], x[1], y[1]), Vector128.Create(x[2], y[2], x[3], y[3]));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose8(float* source, nint stride, float* target, int width)
    {
        // Rows i and i + 4 share a register from the start: the halves then never have to cross.
        float* lower = source + (4 * stride);
        Vector256<float> a = Join(source, lower), b = Join(source + stride, lower + stride);
        Vector256<float> c = Join(source + (2 * stride), lower + (2 * stride)), d = Join(source + (3 * stride), lower + (3 * stride));
        Store4(a, b, c, d, target, width);
        source += 4;
        lower += 4;
        a = Join(source, lower);
        b = Join(source + stride, lower + stride);
        c = Join(source + (2 * stride), lower + (2 * stride));
        d = Join(source + (3 * stride), lower + (3 * stride));
        Store4(a, b, c, d, target + (4 * width), width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Join(float* low, float* high) => Vector256.Create(Vector128.Load(low), Vector128.Load(high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store4(Vector256<float> a, Vector256<float> b, Vector256<float> c, Vector256<float> d, float* target, int width)
    {
        Vector256<double> low01 = Avx.UnpackLow(a, b).AsDouble(), high01 = Avx.UnpackHigh(a, b).AsDouble();
        Vector256<double> low23 = Avx.UnpackLow(c, d).AsDouble(), high23 = Avx.UnpackHigh(c, d).AsDouble();
        Avx.UnpackLow(low01, low23).AsSingle().Store(target);
        Avx.UnpackHigh(low01, low23).AsSingle().Store(target + width);
        Avx.UnpackLow(high01, high23).AsSingle().Store(target + (2 * width));
        Avx.UnpackHigh(high01, high23).AsSingle().Store(target + (3 * width));
    }
}
