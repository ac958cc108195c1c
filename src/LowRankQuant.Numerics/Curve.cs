namespace LowRankQuant.Numerics;

/// <summary>
/// Pointwise functions with constants of their own (the fixed ones are <see cref="Activation"/>):
/// <code>
/// clamp        min(max(x, -a), a)                                             MPT, DBRX, OLMoE: clip_qkv
/// soft cap     a tanh(x / a)                                                  Gemma 2 to 4: logits
/// xIELU        a x^2 + c x for x above 0, else b (e^min(x, d) - 1 - x) + c x  Apertus (arXiv 2411.13010)
/// </code>
/// </summary>
public readonly record struct Curve
{
    private Curve(CurveKind kind, float a, float b = 0, float c = 0, float d = 0) => (Kind, A, B, C, D) = (kind, a, b, c, d);

    internal enum CurveKind
    {
        Clamp,
        SoftCap,
        Xielu,
    }

    internal CurveKind Kind { get; }

    internal float A { get; }

    internal float B { get; }

    internal float C { get; }

    internal float D { get; }

    /// <summary>x held between -limit and limit; the ends have slope 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The limit is no number above zero.</exception>
    public static Curve Clamp(float limit) => new(CurveKind.Clamp, Positive(limit));

    /// <summary>cap tanh(x / cap).</summary>
    /// <exception cref="ArgumentOutOfRangeException">The cap is no number above zero.</exception>
    public static Curve SoftCap(float cap) => new(CurveKind.SoftCap, Positive(cap));

    /// <summary>xIELU with its constants as they enter the formula.</summary>
    /// <param name="above">Factor of x^2 above zero: softplus(alpha_p).</param>
    /// <param name="below">Factor below zero: beta + softplus(alpha_n).</param>
    /// <param name="slope">Factor of x everywhere: beta.</param>
    /// <param name="limit">Where the exponential is cut: eps, a little below zero.</param>
    public static Curve Xielu(float above, float below, float slope, float limit) => new(CurveKind.Xielu, above, below, slope, limit);

    private static float Positive(float value) => float.IsFinite(value) && value > 0 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "A limit is a number above zero.");
}

/// <summary>
/// The gate of gpt-oss: (clamp(u, -limit, limit) + 1) * g * s(alpha g) with g = min(gate, limit) and s the sigmoid; the gate is clamped above only.
/// </summary>
/// <param name="Alpha">1.702 in the released models.</param>
/// <param name="Limit">swiglu_limit.</param>
public readonly record struct ClampedGate(float Alpha, float Limit);
