using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Losses; sums are in double precision whatever T is.
/// <code>
/// squared error   f sum_r w_r sum_j (x_rj - t_rj)^2             gradient 2 f w_r (x_rj - t_rj)
/// cross-entropy   l - x_t,  l = log sum_j e^x_j                 gradient e^(x_j - l) - [j = t]
/// KL              sum_j p_j (log p_j - log q_j)                 log p_j = a_j - log sum e^a
/// </code>
/// </summary>
internal static partial class Reference
{
    public static double SquaredError<T>(
        ReadOnlySpan<T> x, ReadOnlySpan<T> target, int columns, ReadOnlySpan<T> rowWeights, T factor, Span<T> gradient)
        where T : IFloatingPointIeee754<T>
    {
        double sum = 0;
        for (int i = 0; i < x.Length; i++)
        {
            T weight = rowWeights.IsEmpty ? T.One : rowWeights[i / columns], difference = x[i] - target[i];
            double exact = double.CreateChecked(difference);
            sum += double.CreateChecked(weight) * exact * exact;
            if (!gradient.IsEmpty) gradient[i] = T.CreateChecked(2) * factor * weight * difference;
        }
        return double.CreateChecked(factor) * sum;
    }

    public static void CrossEntropyForward<T>(ReadOnlySpan<T> logits, ReadOnlySpan<int> targets, Span<T> negativeLogLikelihood, Span<T> logSumExp)
        where T : IFloatingPointIeee754<T>
    {
        int n = logits.Length / Math.Max(1, targets.Length);
        for (int r = 0; r < targets.Length; r++)
        {
            ReadOnlySpan<T> row = logits.Slice(r * n, n);
            double total = LogSumExp(row);
            logSumExp[r] = T.CreateChecked(total);
            negativeLogLikelihood[r] = targets[r] < 0 ? T.Zero : T.CreateChecked(total - double.CreateChecked(row[targets[r]]));
        }
    }

    public static void CrossEntropyBackward<T>(
        ReadOnlySpan<T> logits, ReadOnlySpan<int> targets, ReadOnlySpan<T> logSumExp, T scale, Span<T> dLogits)
        where T : IFloatingPointIeee754<T>
    {
        int n = logits.Length / Math.Max(1, targets.Length);
        for (int r = 0; r < targets.Length; r++)
        {
            for (int j = 0; j < n; j++)
            {
                T softmax = T.Exp(logits[(r * n) + j] - logSumExp[r]), one = j == targets[r] ? T.One : T.Zero;
                dLogits[(r * n) + j] = targets[r] < 0 ? T.Zero : scale * (softmax - one);
            }
        }
    }

    public static void SoftmaxStatistics<T>(ReadOnlySpan<T> logits, Span<T> logSumExp, Span<int> largest)
        where T : IFloatingPointIeee754<T>
    {
        int n = logits.Length / Math.Max(1, largest.Length);
        for (int r = 0; r < largest.Length; r++)
        {
            ReadOnlySpan<T> row = logits.Slice(r * n, n);
            logSumExp[r] = T.CreateChecked(LogSumExp(row));
            largest[r] = 0;
            for (int j = 1; j < n; j++)
            {
                if (row[j] > row[largest[r]]) largest[r] = j;
            }
        }
    }

    public static void KlDivergence<T>(ReadOnlySpan<T> reference, ReadOnlySpan<T> logits, Span<double> divergence)
        where T : IFloatingPointIeee754<T>
    {
        int n = logits.Length / Math.Max(1, divergence.Length);
        for (int r = 0; r < divergence.Length; r++)
        {
            ReadOnlySpan<T> a = reference.Slice(r * n, n), b = logits.Slice(r * n, n);
            double totalA = LogSumExp(a), totalB = LogSumExp(b), sum = 0;
            for (int j = 0; j < n; j++)
            {
                double logP = double.CreateChecked(a[j]) - totalA, logQ = double.CreateChecked(b[j]) - totalB;
                sum += Math.Exp(logP) * (logP - logQ);
            }
            divergence[r] = sum;
        }
    }

    private static double LogSumExp<T>(ReadOnlySpan<T> x)
        where T : IFloatingPointIeee754<T>
    {
        T largest = x[0];
        foreach (T value in x) largest = T.Max(largest, value);
        double shift = T.IsFinite(largest) ? double.CreateChecked(largest) : 0, sum = 0;
        foreach (T value in x) sum += Math.Exp(double.CreateChecked(value) - shift);
        return shift + Math.Log(sum);
    }
}
