using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Normalisations.
/// <code>
/// RMS norm:     y = x i (w + o),      i = 1 / sqrt(mean(x^2) + epsilon)
///               g = dy (w + o),       dx = i g - x i^3 sum(g x) / n,       dw = sum over rows of dy x i
/// layer norm:   u = (x - mean(x)) i,  y = u w + b,       i = 1 / sqrt(mean((x - mean(x))^2) + epsilon)
///               g = dy w,             dx = i (g - mean(g) - u mean(g u)),   dw = sum over rows of dy u,   db = sum over rows of dy
/// </code>
/// </summary>
internal static partial class Reference
{
    public static void RmsNormForward<T>(ReadOnlySpan<T> x, ReadOnlySpan<T> weight, T epsilon, T offset, Span<T> y, Span<T> inverseRms)
        where T : IFloatingPointIeee754<T>
    {
        int n = weight.Length;
        for (int r = 0; r < inverseRms.Length; r++)
        {
            ReadOnlySpan<T> row = x.Slice(r * n, n);
            T squares = T.Zero;
            foreach (T value in row) squares += value * value;
            inverseRms[r] = T.One / T.Sqrt((squares / T.CreateChecked(n)) + epsilon);
            for (int j = 0; j < n; j++) y[(r * n) + j] = row[j] * inverseRms[r] * (weight[j] + offset);
        }
    }

    public static void RmsNormBackward<T>(
        ReadOnlySpan<T> dy, ReadOnlySpan<T> x, ReadOnlySpan<T> weight, T offset, ReadOnlySpan<T> inverseRms,
        Span<T> dx, bool accumulate, Span<T> dWeight)
        where T : IFloatingPointIeee754<T>
    {
        int n = weight.Length;
        for (int r = 0; r < inverseRms.Length; r++)
        {
            T i = inverseRms[r], product = T.Zero;
            for (int j = 0; j < n; j++) product += dy[(r * n) + j] * (weight[j] + offset) * x[(r * n) + j];
            for (int j = 0; j < n; j++)
            {
                int at = (r * n) + j;
                T value = (i * dy[at] * (weight[j] + offset)) - (x[at] * i * i * i * product / T.CreateChecked(n));
                dx[at] = accumulate ? dx[at] + value : value;
                if (!dWeight.IsEmpty) dWeight[j] += dy[at] * x[at] * i;
            }
        }
    }

    public static void LayerNormForward<T>(
        ReadOnlySpan<T> x, ReadOnlySpan<T> weight, ReadOnlySpan<T> bias, T epsilon, Span<T> y, Span<T> mean, Span<T> inverseDeviation)
        where T : IFloatingPointIeee754<T>
    {
        int n = weight.Length;
        T count = T.CreateChecked(n);
        for (int r = 0; r < mean.Length; r++)
        {
            ReadOnlySpan<T> row = x.Slice(r * n, n);
            T sum = T.Zero, squares = T.Zero;
            foreach (T value in row) sum += value;
            mean[r] = sum / count;
            foreach (T value in row) squares += (value - mean[r]) * (value - mean[r]);
            inverseDeviation[r] = T.One / T.Sqrt((squares / count) + epsilon);
            for (int j = 0; j < n; j++)
            {
                y[(r * n) + j] = ((row[j] - mean[r]) * inverseDeviation[r] * weight[j]) + (bias.IsEmpty ? T.Zero : bias[j]);
            }
        }
    }

    public static void LayerNormBackward<T>(
        ReadOnlySpan<T> dy, ReadOnlySpan<T> x, ReadOnlySpan<T> weight, ReadOnlySpan<T> mean, ReadOnlySpan<T> inverseDeviation,
        Span<T> dx, bool accumulate, Span<T> dWeight, Span<T> dBias)
        where T : IFloatingPointIeee754<T>
    {
        int n = weight.Length;
        T count = T.CreateChecked(n);
        for (int r = 0; r < mean.Length; r++)
        {
            T i = inverseDeviation[r], meanG = T.Zero, meanGu = T.Zero;
            for (int j = 0; j < n; j++)
            {
                int at = (r * n) + j;
                T g = dy[at] * weight[j], u = (x[at] - mean[r]) * i;
                meanG += g / count;
                meanGu += g * u / count;
            }
            for (int j = 0; j < n; j++)
            {
                int at = (r * n) + j;
                T g = dy[at] * weight[j], u = (x[at] - mean[r]) * i, value = i * (g - meanG - (u * meanGu));
                dx[at] = accumulate ? dx[at] + value : value;
                if (!dWeight.IsEmpty) dWeight[j] += dy[at] * u;
                if (!dBias.IsEmpty) dBias[j] += dy[at];
            }
        }
    }
}
