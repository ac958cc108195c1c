using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Causal convolution of every column c by itself, with K taps. x at rows before the first of its sequence is the tail's, or zero; dy beyond the last row
/// is zero:
/// <code>
/// y[t, c] = b[c] + sum_j w[c, j] x[t - K + 1 + j, c]      dx[t, c] = sum_j w[c, j] dy[t + K - 1 - j, c]
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void ConvolveForward<T>(
        ReadOnlySpan<T> x, int columns, int length, ReadOnlySpan<T> weight, ReadOnlySpan<T> bias, ReadOnlySpan<T> tail, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        int taps = weight.Length / Math.Max(1, columns);
        for (int i = 0; i < x.Length; i++)
        {
            int row = i / columns, c = i % columns, t = row % length, sequence = row / length;
            T sum = bias.IsEmpty ? T.Zero : bias[c];
            for (int j = 0; j < taps; j++)
            {
                int back = taps - 1 - j;
                if (back <= t) sum += weight[(c * taps) + j] * x[i - (back * columns)];
                else if (!tail.IsEmpty) sum += weight[(c * taps) + j] * tail[(((sequence * (taps - 1)) + t + j) * columns) + c];
            }
            y[i] = sum;
        }
    }

    public static void ConvolveBackward<T>(ReadOnlySpan<T> dy, int columns, int length, ReadOnlySpan<T> weight, Span<T> dx)
        where T : IFloatingPointIeee754<T>
    {
        int taps = weight.Length / Math.Max(1, columns);
        for (int i = 0; i < dy.Length; i++)
        {
            int c = i % columns, t = i / columns % length;
            T sum = T.Zero;
            for (int j = 0; j < taps; j++)
            {
                int ahead = taps - 1 - j;
                if (t + ahead < length) sum += weight[(c * taps) + j] * dy[i + (ahead * columns)];
            }
            dx[i] = sum;
        }
    }
}
