using System.Buffers.Binary;
using System.Runtime.InteropServices;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>From stored bytes to elements. Files and supported machines are little-endian.</summary>
internal static class ElementConversion
{
    private static readonly float[] E4M3Values = [.. Enumerable.Range(0, 256).Select(bits => Float8E4M3((byte)bits))];

    public delegate void Converter<T>(ReadOnlySpan<byte> bytes, Span<T> destination);

    /// <summary>Whether T is the plain .NET type of a stored type.</summary>
    public static bool Holds<T>(SafetensorsType type)
        where T : unmanaged => type switch
        {
            SafetensorsType.Bool or SafetensorsType.U8 or SafetensorsType.F8E4M3 or SafetensorsType.F8E5M2 or SafetensorsType.F8E8M0 =>
                typeof(T) == typeof(byte),
            SafetensorsType.I8 => typeof(T) == typeof(sbyte),
            SafetensorsType.I16 => typeof(T) == typeof(short),
            SafetensorsType.U16 or SafetensorsType.BF16 => typeof(T) == typeof(ushort),
            SafetensorsType.F16 => typeof(T) == typeof(ushort) || typeof(T) == typeof(Half),
            SafetensorsType.I32 => typeof(T) == typeof(int),
            SafetensorsType.U32 => typeof(T) == typeof(uint),
            SafetensorsType.F32 => typeof(T) == typeof(float),
            SafetensorsType.I64 => typeof(T) == typeof(long),
            SafetensorsType.U64 => typeof(T) == typeof(ulong),
            SafetensorsType.F64 => typeof(T) == typeof(double),
            _ => false,
        };

    /// <summary>Widening (F64: rounding) to 32-bit floats; null for types that are not real floating point numbers.</summary>
    public static Converter<float>? ToSingles(SafetensorsType type) => type switch
    {
        SafetensorsType.F32 => static (bytes, floats) => bytes.CopyTo(MemoryMarshal.AsBytes(floats)),
        SafetensorsType.F16 => static (bytes, floats) => HalfConversion.Float16ToSingle(MemoryMarshal.Cast<byte, ushort>(bytes), floats),
        SafetensorsType.BF16 => static (bytes, floats) => HalfConversion.BFloat16ToSingle(MemoryMarshal.Cast<byte, ushort>(bytes), floats),
        SafetensorsType.F64 => static (bytes, floats) =>
        {
            for (int i = 0; i < floats.Length; i++) floats[i] = (float)BinaryPrimitives.ReadDoubleLittleEndian(bytes[(8 * i)..]);
        }
        ,
        SafetensorsType.F8E4M3 => static (bytes, floats) =>
        {
            for (int i = 0; i < floats.Length; i++) floats[i] = E4M3Values[bytes[i]];
        }
        ,
        // 1 sign, 5 exponent, 2 mantissa bits: the upper byte of a binary16.
        SafetensorsType.F8E5M2 => static (bytes, floats) =>
        {
            for (int i = 0; i < floats.Length; i++) floats[i] = (float)BitConverter.UInt16BitsToHalf((ushort)(bytes[i] << 8));
        }
        ,
        _ => null,
    };

    /// <summary>1 sign, 4 exponent (bias 7), 3 mantissa bits; 0x7F and 0xFF are NaN, there are no infinities.</summary>
    public static float Float8E4M3(byte bits)
    {
        int exponent = (bits >> 3) & 15, mantissa = bits & 7;
        if ((bits & 0x7F) == 0x7F) return float.NaN;
        float magnitude = exponent == 0 ? MathF.ScaleB(mantissa, -9) : MathF.ScaleB(8 + mantissa, exponent - 10);
        return (bits & 0x80) != 0 ? -magnitude : magnitude;
    }
}
