using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// Whole-span conversions between 32-bit floats and the 16-bit types that files store. Widening is exact; narrowing rounds to nearest, ties to
/// even, with infinities beyond the largest number. NaN stays a NaN, its payload is not kept. Eight elements at a time; the vector code is a
/// bit-level twin of the scalar conversions (<see cref="Half"/> and <see cref="BFloat16"/>), so a span's length never changes a value.
/// </summary>
public static class HalfConversion
{
    private const int Lanes = 8;

    /// <summary>Widens IEEE binary16 bit patterns to 32-bit floats.</summary>
    /// <param name="source">Bit patterns.</param>
    /// <param name="destination">Values; as long as <paramref name="source"/>.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void Float16ToSingle(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref ushort from = ref MemoryMarshal.GetReference(source);
        ref float to = ref MemoryMarshal.GetReference(destination);
        int i = 0;
        for (; i <= source.Length - Lanes; i += Lanes)
        {
            Vector256<uint> bits = Widen(Vector128.LoadUnsafe(ref from, (nuint)i));
            Vector256<uint> sign = (bits & Vector256.Create(0x8000u)) << 16;
            Vector256<uint> magnitude = (bits & Vector256.Create(0x7FFFu)) << 13;
            // Three ranges by the half's exponent: ordinary numbers move their bias from 15 to 127, infinities and NaN move to the top exponent,
            // subnormals are renormalised by one exact subtraction of floats (no subnormal float ever enters the arithmetic).
            Vector256<uint> ordinary = magnitude + Vector256.Create(112u << 23);
            Vector256<uint> special = magnitude + Vector256.Create(224u << 23);
            Vector256<float> unit = Vector256.Create(113u << 23).AsSingle();
            Vector256<uint> subnormal = ((magnitude + Vector256.Create(113u << 23)).AsSingle() - unit).AsUInt32();
            Vector256<uint> result = Vector256.ConditionalSelect(Vector256.LessThan(magnitude, Vector256.Create(1u << 23)), subnormal, ordinary);
            result = Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(31u << 23)), special, result);
            (result | sign).AsSingle().StoreUnsafe(ref to, (nuint)i);
        }
        for (; i < source.Length; i++) destination[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
    }

    /// <summary>Rounds 32-bit floats to IEEE binary16 bit patterns.</summary>
    /// <param name="source">Values.</param>
    /// <param name="destination">Bit patterns; as long as <paramref name="source"/>.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void SingleToFloat16(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref float from = ref MemoryMarshal.GetReference(source);
        ref ushort to = ref MemoryMarshal.GetReference(destination);
        int i = 0;
        for (; i <= source.Length - Lanes; i += Lanes)
        {
            Vector256<uint> bits = Vector256.LoadUnsafe(ref from, (nuint)i).AsUInt32();
            Vector256<uint> sign = bits & Vector256.Create(0x8000_0000u);
            Vector256<uint> magnitude = bits ^ sign;
            // Ordinary: move the bias and add half a unit (less one for an even mantissa); a carry runs into the exponent as it should.
            Vector256<uint> odd = (magnitude >> 13) & Vector256<uint>.One;
            Vector256<uint> ordinary = (magnitude - Vector256.Create(112u << 23) + Vector256.Create(0xFFFu) + odd) >> 13;
            // Subnormal result: adding 0.5 aligns the mantissa so that the addition itself rounds to nearest even.
            Vector256<float> half = Vector256.Create(0.5f);
            Vector256<uint> subnormal = (magnitude.AsSingle() + half).AsUInt32() - half.AsUInt32();
            Vector256<uint> special = Vector256.ConditionalSelect(
                Vector256.GreaterThan(magnitude, Vector256.Create(255u << 23)), Vector256.Create(0x7E00u), Vector256.Create(0x7C00u));
            Vector256<uint> result = Vector256.ConditionalSelect(Vector256.LessThan(magnitude, Vector256.Create(113u << 23)), subnormal, ordinary);
            result = Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(143u << 23)), special, result);
            Narrow(result | (sign >> 16)).StoreUnsafe(ref to, (nuint)i);
        }
        for (; i < source.Length; i++)
        {
            ushort bits = BitConverter.HalfToUInt16Bits((Half)source[i]);
            destination[i] = float.IsNaN(source[i]) ? (ushort)((bits & 0x8000) | 0x7E00) : bits;
        }
    }

    /// <summary>Widens bfloat16 bit patterns to 32-bit floats.</summary>
    /// <param name="source">Bit patterns.</param>
    /// <param name="destination">Values; as long as <paramref name="source"/>.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void BFloat16ToSingle(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref ushort from = ref MemoryMarshal.GetReference(source);
        ref float to = ref MemoryMarshal.GetReference(destination);
        int i = 0;
        for (; i <= source.Length - Lanes; i += Lanes)
            (Widen(Vector128.LoadUnsafe(ref from, (nuint)i)) << 16).AsSingle().StoreUnsafe(ref to, (nuint)i);
        for (; i < source.Length; i++) destination[i] = BFloat16.ToSingle(source[i]);
    }

    /// <summary>Rounds 32-bit floats to bfloat16 bit patterns.</summary>
    /// <param name="source">Values.</param>
    /// <param name="destination">Bit patterns; as long as <paramref name="source"/>.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void SingleToBFloat16(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref float from = ref MemoryMarshal.GetReference(source);
        ref ushort to = ref MemoryMarshal.GetReference(destination);
        int i = 0;
        for (; i <= source.Length - Lanes; i += Lanes)
        {
            Vector256<float> value = Vector256.LoadUnsafe(ref from, (nuint)i);
            Vector256<uint> bits = value.AsUInt32();
            Vector256<uint> high = bits >> 16;
            Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + (high & Vector256<uint>.One)) >> 16;
            Vector256<uint> result = Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), rounded, high | Vector256.Create(0x40u));
            Narrow(result).StoreUnsafe(ref to, (nuint)i);
        }
        for (; i < source.Length; i++) destination[i] = BFloat16.FromSingle(source[i]);
    }

    private static Vector256<uint> Widen(Vector128<ushort> value)
    {
        (Vector128<uint> low, Vector128<uint> high) = Vector128.Widen(value);
        return Vector256.Create(low, high);
    }

    private static Vector128<ushort> Narrow(Vector256<uint> value) => Vector128.Narrow(value.GetLower(), value.GetUpper());

    private static void CheckLengths(int source, int destination)
    {
        if (source != destination) throw new ArgumentException($"The destination holds {destination} elements for {source}.", nameof(destination));
    }
}
