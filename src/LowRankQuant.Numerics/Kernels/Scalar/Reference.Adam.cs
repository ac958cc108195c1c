using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1): m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// x -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).
/// </summary>
internal static partial class Reference
{
    public static void AdamStep<T>(
        Span<T> x, ReadOnlySpan<T> gradient, Span<T> first, Span<T> second, T rate, int step, double beta1, double beta2, T epsilon)
        where T : IFloatingPointIeee754<T>
    {
        T keep1 = T.CreateChecked(beta1), take1 = T.CreateChecked(1 - beta1), keep2 = T.CreateChecked(beta2), take2 = T.CreateChecked(1 - beta2);
        T correction1 = T.CreateChecked(1 - Math.Pow(beta1, step)), correction2 = T.CreateChecked(1 - Math.Pow(beta2, step));
        for (int i = 0; i < x.Length; i++)
        {
            T g = gradient[i];
            first[i] = (keep1 * first[i]) + (take1 * g);
            second[i] = (keep2 * second[i]) + (take2 * g * g);
            x[i] -= rate * (first[i] / correction1) / (T.Sqrt(second[i] / correction2) + epsilon);
        }
    }
}
