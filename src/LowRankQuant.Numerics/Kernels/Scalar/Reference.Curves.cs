using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>
/// The functions of <see cref="Curve"/>, the gate of gpt-oss (<see cref="ClampedGate"/>) and products by rows, with their derivatives. With g = min(gate, limit),
/// s = sigmoid(alpha g), inside the limits: dGate = dy (u + 1) (s + alpha g s (1 - s)), dUp = dy g s; a clamped argument has no gradient.
/// </summary>
internal static partial class Reference
{
    public static void CurveForward<T>(in Curve curve, ReadOnlySpan<T> x, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < x.Length; i++) y[i] = Value(curve, x[i], out T _);
    }

    public static void CurveBackward<T>(in Curve curve, ReadOnlySpan<T> dy, ReadOnlySpan<T> x, Span<T> dx)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < x.Length; i++)
        {
            Value(curve, x[i], out T slope);
            dx[i] = dy[i] * slope;
        }
    }

    public static void ClampedGateForward<T>(in ClampedGate constants, ReadOnlySpan<T> gate, ReadOnlySpan<T> up, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        T alpha = T.CreateChecked(constants.Alpha), limit = T.CreateChecked(constants.Limit);
        for (int i = 0; i < gate.Length; i++)
        {
            T g = T.Min(gate[i], limit), u = T.Max(-limit, T.Min(up[i], limit));
            y[i] = (u + T.One) * g / (T.One + T.Exp(-alpha * g));
        }
    }

    public static void ClampedGateBackward<T>(
        in ClampedGate constants, ReadOnlySpan<T> dy, ReadOnlySpan<T> gate, ReadOnlySpan<T> up, Span<T> dGate, Span<T> dUp)
        where T : IFloatingPointIeee754<T>
    {
        T alpha = T.CreateChecked(constants.Alpha), limit = T.CreateChecked(constants.Limit);
        for (int i = 0; i < gate.Length; i++)
        {
            T d = dy[i], g = T.Min(gate[i], limit), u = T.Max(-limit, T.Min(up[i], limit)), s = T.One / (T.One + T.Exp(-alpha * g));
            bool gateInside = gate[i] <= limit, upInside = T.Abs(up[i]) <= limit;
            dGate[i] = gateInside ? d * (u + T.One) * (s + (alpha * g * s * (T.One - s))) : T.Zero;
            dUp[i] = upInside ? d * g * s : T.Zero;
        }
    }

    /// <summary>y[r, :] = factors[r mod length] x[r, :].</summary>
    public static void ScaleRows<T>(ReadOnlySpan<T> x, ReadOnlySpan<T> factors, int columns, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        for (int i = 0; i < x.Length; i++) y[i] = factors[i / columns % factors.Length] * x[i];
    }

    /// <summary>y[r] = a[r, :] b[r, :].</summary>
    public static void RowDots<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> b, int columns, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        for (int r = 0; r < y.Length; r++) y[r] = Dot(a.Slice(r * columns, columns), b.Slice(r * columns, columns));
    }

    private static T Value<T>(in Curve curve, T x, out T slope)
        where T : IFloatingPointIeee754<T>
    {
        T a = T.CreateChecked(curve.A), b = T.CreateChecked(curve.B), c = T.CreateChecked(curve.C), d = T.CreateChecked(curve.D);
        switch (curve.Kind)
        {
            case Curve.CurveKind.Clamp:
                slope = T.Abs(x) <= a ? T.One : T.Zero;
                return T.Max(-a, T.Min(x, a));
            case Curve.CurveKind.SoftCap:
                T tanh = T.Tanh(x / a);
                slope = T.One - (tanh * tanh);
                return a * tanh;
            default:
                if (x > T.Zero)
                {
                    slope = (T.CreateChecked(2) * a * x) + c;
                    return (a * x * x) + (c * x);
                }
                slope = (b * ((x <= d ? T.Exp(x) : T.Zero) - T.One)) + c;
                return (b * (T.ExpM1(T.Min(x, d)) - x)) + (c * x);
        }
    }
}
