using System.Numerics;

namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// A signed float of few bits with numbers below its normal ones and without infinities. With m bits of mantissa and least exponent e:
/// <code>
/// code = sign, exponent field E, mantissa M
/// value = (-1)^sign (1 + M 2^-m) 2^(E + e - 1)   for E above 0
///         (-1)^sign M 2^(e - m)                  for E = 0
/// </code>
/// </summary>
/// <remarks>
/// | float | bits | m | e | largest | no number |
/// | --- | --- | --- | --- | --- | --- |
/// | E2M1 | 4 | 1 | 0 | 6 | none |
/// | E4M3 | 8 | 3 | -6 | 448 | 0x7F, 0xFF |
/// Source: OCP Microscaling Formats 1.0, OCP 8-bit Floating Point 1.0.
/// </remarks>
public sealed class SmallFloat
{
    private const int SingleMantissaBits = 23, SingleBias = 127;
    private readonly float[] _values;

    private SmallFloat(string name, int bits, int mantissaBits, int leastExponent, float largest)
    {
        (Name, Bits, MantissaBits, LeastExponent, Largest) = (name, bits, mantissaBits, leastExponent, largest);
        _values = new float[1 << bits];
        for (int code = 0; code < _values.Length; code++) _values[code] = ValueOf(code);
    }

    /// <summary>4 bits: 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives.</summary>
    public static SmallFloat E2M1 { get; } = new("E2M1", 4, 1, 0, 6);

    /// <summary>8 bits up to 448.</summary>
    public static SmallFloat E4M3 { get; } = new("E4M3", 8, 3, -6, 448);

    /// <summary>Name by bits of exponent and mantissa.</summary>
    public string Name { get; }

    /// <summary>Bits of a code.</summary>
    public int Bits { get; }

    /// <summary>m.</summary>
    public int MantissaBits { get; }

    /// <summary>e, the exponent of the least normal number.</summary>
    public int LeastExponent { get; }

    /// <summary>The largest number.</summary>
    public float Largest { get; }

    /// <summary>From the largest number to the one below it.</summary>
    public float LargestStep => MathF.ScaleB(1, (int)MathF.Log2(Largest) - MantissaBits);

    /// <summary>The bit of the sign.</summary>
    public int SignBit => 1 << (Bits - 1);

    /// <summary>The value of every code; NaN for one that stands for no number.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The nearest number, of two the one with an even mantissa; beyond the largest, the largest. What is no number stays none.</summary>
    public T Round<T>(T value)
        where T : IFloatingPointIeee754<T>
    {
        T largest = T.CreateChecked(Largest), rounded = RoundOpen(value);
        return rounded > largest ? largest : rounded < -largest ? -largest : rounded;
    }

    /// <summary>As <see cref="Round"/>, with exponents that go on beyond the largest number.</summary>
    public T RoundOpen<T>(T value)
        where T : IFloatingPointIeee754<T>
    {
        if (!T.IsFinite(value) || T.IsZero(value)) return value;
        T step = T.ScaleB(T.One, Math.Max(T.ILogB(value), LeastExponent) - MantissaBits);
        return T.Round(value / step, MidpointRounding.ToEven) * step;
    }

    /// <summary>The code of a number of this kind; minus zero has one of its own.</summary>
    /// <param name="level">What <see cref="Round"/> gives.</param>
    public byte CodeOf(float level)
    {
        float magnitude = MathF.Abs(level);
        int code = magnitude < MathF.ScaleB(1, LeastExponent)
            ? (int)MathF.ScaleB(magnitude, MantissaBits - LeastExponent)
            : (BitConverter.SingleToInt32Bits(magnitude) >> (SingleMantissaBits - MantissaBits)) - ((SingleBias + LeastExponent - 1) << MantissaBits);
        return (byte)(float.IsNegative(level) ? code | SignBit : code);
    }

    private float ValueOf(int code)
    {
        int field = (code & (SignBit - 1)) >> MantissaBits, mantissa = code & ((1 << MantissaBits) - 1);
        float magnitude = field == 0
            ? MathF.ScaleB(mantissa, LeastExponent - MantissaBits)
            : MathF.ScaleB((1 << MantissaBits) + mantissa, field + LeastExponent - 1 - MantissaBits);
        if (magnitude > Largest) return float.NaN;
        return (code & SignBit) != 0 ? -magnitude : magnitude;
    }

    /// <inheritdoc/>
    public override string ToString() => Name;
}
