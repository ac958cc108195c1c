using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.Quantized;

/// <summary>Rounding of scales to the type in which they are stored. No zero, infinite or NaN scale ever leaves this class.</summary>
public static class StorageScale
{
    // The smallest normal numbers: a subnormal scale loses bits and some engines flush it to zero.
    private const float SmallestHalf = 6.103515625e-05f;
    private const float SmallestSingle = 1.17549435e-38f;

    /// <summary>Rounds a positive step to the nearest value of <paramref name="type"/> (ties to even), at least the type's smallest normal number.</summary>
    /// <param name="scale">The step; finite and not negative.</param>
    /// <param name="type">The stored type.</param>
    /// <param name="digits">Significant bits to keep, fewer than the type has; null for all of them.</param>
    /// <returns>The value as stored, widened to a 32-bit float; always positive and finite.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The scale is NaN, infinite, negative, or beyond the largest value of the type.</exception>
    public static float Round(float scale, ScaleType type, int? digits = null)
    {
        if (!float.IsFinite(scale) || scale < 0)
            throw new ArgumentOutOfRangeException(nameof(scale), scale, "A scale must be finite and not negative.");
        float floor = type == ScaleType.Float16 ? SmallestHalf : SmallestSingle;
        float rounded = Math.Max(RoundAny(digits is { } kept ? KeepDigits(scale, kept) : scale, type), floor);
        if (!float.IsFinite(rounded))
            throw new ArgumentOutOfRangeException(nameof(scale), scale, $"The scale does not fit {type}; store it as Float32 (`scale_dtype` fp32).");
        return rounded;
    }

    /// <summary>Rounds to the nearest value of so many significant bits, ties to even; 24 is all that a 32-bit float has.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than 24 bits.</exception>
    public static float KeepDigits(float value, int digits)
    {
        if (digits is < 1 or > 24) throw new ArgumentOutOfRangeException(nameof(digits), digits, "A 32-bit float has 1 to 24 significant bits.");
        if (value == 0 || !float.IsFinite(value)) return value;
        double unit = Math.ScaleB(1, Math.ILogB(value) - digits + 1);
        return (float)(Math.Round(value / unit) * unit);
    }

    /// <summary>Rounds the value of a code, such as a minimum, to the nearest value of <paramref name="type"/> (ties to even); it may be 0 or negative.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is NaN, infinite, or beyond the largest value of the type.</exception>
    public static float RoundMinimum(float value, ScaleType type)
    {
        float rounded = RoundAny(value, type);
        return float.IsFinite(rounded)
            ? rounded
            : throw new ArgumentOutOfRangeException(nameof(value), value, $"The minimum does not fit {type}; store it as Float32 (`scale_dtype` fp32).");
    }

    /// <summary>Rounds any value to the nearest value of <paramref name="type"/> (ties to even), without a floor.</summary>
    public static float RoundAny(float value, ScaleType type) => type switch
    {
        ScaleType.Float32 => value,
        ScaleType.Float16 => (float)(Half)value,
        ScaleType.BFloat16 => BFloat16.ToSingle(BFloat16.FromSingle(value)),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown scale type."),
    };
}

/// <summary>Conversions between bfloat16 bit patterns and 32-bit floats.</summary>
public static class BFloat16
{
    /// <summary>Widens a bfloat16 bit pattern; exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToSingle(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Rounds to the nearest bfloat16, ties to even; NaN stays a quiet NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort FromSingle(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value)) return (ushort)((bits >> 16) | 0x40);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
