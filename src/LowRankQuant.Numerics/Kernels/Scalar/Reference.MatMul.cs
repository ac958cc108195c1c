using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>The definition of every operation, in any precision; one element after the other in the order of the formula.</summary>
internal static partial class Reference
{
    /// <summary>c [m, n] (+)= op(a) [m, k] op(b) [k, n].</summary>
    public static void MatMul<T>(
        ReadOnlySpan<T> a, bool transposeA, ReadOnlySpan<T> b, bool transposeB, int m, int n, int k, Span<T> c, bool accumulate)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                T sum = accumulate ? c[(i * n) + j] : T.Zero;
                for (int p = 0; p < k; p++) sum += (transposeA ? a[(p * m) + i] : a[(i * k) + p]) * (transposeB ? b[(j * k) + p] : b[(p * n) + j]);
                c[(i * n) + j] = sum;
            }
        }
    }

    /// <summary>sums[c] (+)= sum over rows of x[r, c].</summary>
    public static void ColumnSums<T>(ReadOnlySpan<T> x, Span<T> sums, bool accumulate)
        where T : IFloatingPointIeee754<T>
    {
        if (!accumulate) sums.Clear();
        for (int i = 0; i < x.Length; i++) sums[i % sums.Length] += x[i];
    }
}
