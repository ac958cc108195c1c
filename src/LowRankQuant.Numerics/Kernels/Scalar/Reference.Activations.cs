using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// Non-linearities f and their derivatives; s is the sigmoid, P and p distribution and density of the standard normal.
/// <code>
/// SiLU         x s(x)                              s + x s (1 - s)
/// GELU, tanh   x/2 (1 + tanh u)                    (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u',   u = sqrt(2/pi) (x + 0.044715 x^3)
/// GELU, erf    x P(x)                              P(x) + x p(x)
/// ReLU         max(x, 0)                           1 for x above 0, else 0
/// ReLU^2       max(x, 0)^2                         2 max(x, 0)
/// sigmoid      s(x)                                s (1 - s)
/// identity     x                                   1
/// gated        y = f(g) u                          dg = dy u f'(g),   du = dy f(g)
/// </code>
/// </summary>
internal static partial class Reference
{
    public static T Activate<T>(Activation activation, T x)
        where T : IFloatingPointIeee754<T>
    {
        T half = T.CreateChecked(0.5);
        return activation switch
        {
            Activation.Silu => x / (T.One + T.Exp(-x)),
            Activation.GeluTanh => half * x * (T.One + T.Tanh(GeluArgument(x, out T _))),
            Activation.GeluErf => x * NormalDistribution(x),
            Activation.Relu => T.Max(x, T.Zero),
            Activation.ReluSquared => T.Max(x, T.Zero) * T.Max(x, T.Zero),
            Activation.Identity => x,
            _ => T.One / (T.One + T.Exp(-x)),
        };
    }

    public static T ActivationSlope<T>(Activation activation, T x)
        where T : IFloatingPointIeee754<T>
    {
        T half = T.CreateChecked(0.5);
        switch (activation)
        {
            case Activation.Silu:
                T s = T.One / (T.One + T.Exp(-x));
                return s + (x * s * (T.One - s));
            case Activation.GeluTanh:
                T tanh = T.Tanh(GeluArgument(x, out T slope));
                return (half * (T.One + tanh)) + (half * x * (T.One - (tanh * tanh)) * slope);
            case Activation.GeluErf:
                return NormalDistribution(x) + (x * T.Exp(-half * x * x) / T.Sqrt(T.CreateChecked(2) * T.Pi));
            case Activation.Relu:
                return x > T.Zero ? T.One : T.Zero;
            case Activation.ReluSquared:
                return T.Max(x, T.Zero) + T.Max(x, T.Zero);
            case Activation.Identity:
                return T.One;
            default:
                T sigmoid = T.One / (T.One + T.Exp(-x));
                return sigmoid * (T.One - sigmoid);
        }
    }

    public static void ActivationForward<T>(Activation activation, ReadOnlySpan<T> x, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < x.Length; i++) y[i] = Activate(activation, x[i]);
    }

    public static void ActivationBackward<T>(Activation activation, ReadOnlySpan<T> dy, ReadOnlySpan<T> x, Span<T> dx)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < x.Length; i++) dx[i] = dy[i] * ActivationSlope(activation, x[i]);
    }

    public static void GatedActivationForward<T>(Activation activation, ReadOnlySpan<T> gate, ReadOnlySpan<T> up, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < gate.Length; i++) y[i] = Activate(activation, gate[i]) * up[i];
    }

    public static void GatedActivationBackward<T>(
        Activation activation, ReadOnlySpan<T> dy, ReadOnlySpan<T> gate, ReadOnlySpan<T> up, Span<T> dGate, Span<T> dUp)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < gate.Length; i++)
        {
            T d = dy[i], u = up[i], g = gate[i];
            dGate[i] = d * u * ActivationSlope(activation, g);
            dUp[i] = d * Activate(activation, g);
        }
    }

    /// <summary>
    /// P(x) = (1 + erf(z)) / 2, z = x / sqrt 2: erf by its series 2/sqrt(pi) e^(-z^2) sum of 2^n z^(2n+1) / (1 3 5 .. (2n+1)), whose terms all have
    /// one sign; in the lower tail by the continued fraction of erfc, e^(-z^2) / sqrt(pi) / (z + (1/2) / (z + (2/2) / (z + (3/2) / (z + ...)))).
    /// </summary>
    public static T NormalDistribution<T>(T x)
        where T : IFloatingPointIeee754<T>
    {
        T two = T.CreateChecked(2), z = T.Abs(x) / T.Sqrt(two), bell = T.Exp(-z * z) / T.Sqrt(T.Pi), upper;
        if (z < T.CreateChecked(2.5))
        {
            T term = z, sum = T.Zero;
            for (int n = 1; n < 200 && sum + term != sum; n++)
            {
                sum += term;
                term *= two * z * z / T.CreateChecked((2 * n) + 1);
            }
            upper = (T.One - (two * bell * sum)) / two;
        }
        else
        {
            T fraction = z;
            for (int n = 60; n > 0; n--) fraction = z + (T.CreateChecked(n) / two / fraction);
            upper = bell / fraction / two;
        }
        return x < T.Zero ? upper : T.One - upper;
    }

    private static T GeluArgument<T>(T x, out T slope)
        where T : IFloatingPointIeee754<T>
    {
        T factor = T.Sqrt(T.CreateChecked(2) / T.Pi), cubic = T.CreateChecked(0.044715);
        slope = factor * (T.One + (T.CreateChecked(3) * cubic * x * x));
        return factor * (x + (cubic * x * x * x));
    }
}
