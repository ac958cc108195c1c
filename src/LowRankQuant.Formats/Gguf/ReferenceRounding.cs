using LowRankQuant.Formats.Gguf.Blocks;

namespace LowRankQuant.Formats.Gguf;

/// <summary>
/// Floats to blocks of 32 as ggml's reference code rounds them, byte for byte: for embeddings, output heads and other weights that no method has put
/// on a grid. d is stored as a half, but codes are chosen with the float d; float operations keep ggml's order and are never fused.
/// </summary>
/// <remarks>
/// | type | d | code |
/// | --- | --- | --- |
/// | Q4_0 | value of largest magnitude / -8 | trunc(x / d + 8.5), at most 15 |
/// | Q5_0 | value of largest magnitude / -16 | trunc(x / d + 16.5), at most 31 |
/// | Q4_1 | (max - min) / 15, m = min | trunc((x - min) / d + 0.5), at most 15 |
/// | Q5_1 | (max - min) / 31, m = min | trunc((x - min) / d + 0.5) |
/// | Q8_0 | largest magnitude / 127 | x / d, halves away from zero |
/// x / d is x times 1 / d. Source: ggml-org/ggml, src/ggml-quants.c, quantize_row_*_ref.
/// </remarks>
internal static class ReferenceRounding
{
    private const int Elements = 32;

    public delegate void Rounder(ReadOnlySpan<float> values, Span<byte> block);

    /// <summary>The rounder of a type, or null when floats are not rounded to it here.</summary>
    public static Rounder? For(GgmlType type) => type switch
    {
        GgmlType.Q4_0 => static (values, block) => Symmetric<Q4_0>(values, block, 8),
        GgmlType.Q5_0 => static (values, block) => Symmetric<Q5_0>(values, block, 16),
        GgmlType.Q4_1 => static (values, block) => WithMinimum<Q4_1>(values, block, 15),
        GgmlType.Q5_1 => static (values, block) => WithMinimum<Q5_1>(values, block, 31),
        GgmlType.Q8_0 => EightBits,
        _ => null,
    };

    /// <summary>Rounds whole blocks.</summary>
    public static void Round(GgmlType type, ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Rounder round = For(type) ?? throw new ArgumentOutOfRangeException(nameof(type), type, "Floats are not rounded to this type.");
        int bytes = type.Block().Bytes;
        for (int block = 0; block < values.Length / Elements; block++)
            round(values.Slice(block * Elements, Elements), blocks.Slice(block * bytes, bytes));
    }

    private static void Symmetric<T>(ReadOnlySpan<float> values, Span<byte> block, int zero)
        where T : IGgufGridBlock
    {
        float largest = 0, signed = 0;
        foreach (float value in values)
        {
            if (largest >= Math.Abs(value)) continue;
            largest = Math.Abs(value);
            signed = value;
        }
        float d = signed / -zero, inverse = d == 0 ? 0 : 1 / d;
        Span<byte> codes = stackalloc byte[Elements];
        for (int j = 0; j < Elements; j++)
        {
            float scaled = values[j] * inverse;
            codes[j] = (byte)Math.Min((2 * zero) - 1, (int)(scaled + (zero + 0.5f)));
        }
        T.Encode(new BlockContent { Codes = codes, Scale = Bits(d) }, block);
    }

    private static void WithMinimum<T>(ReadOnlySpan<float> values, Span<byte> block, int maxCode)
        where T : IGgufGridBlock
    {
        float min = float.MaxValue, max = -float.MaxValue;
        foreach (float value in values)
        {
            if (value < min) min = value;
            if (value > max) max = value;
        }
        float d = (max - min) / maxCode, inverse = d == 0 ? 0 : 1 / d;
        Span<byte> codes = stackalloc byte[Elements];
        for (int j = 0; j < Elements; j++)
        {
            float scaled = (values[j] - min) * inverse;
            codes[j] = (byte)Math.Min(maxCode, (int)(scaled + 0.5f));
        }
        T.Encode(new BlockContent { Codes = codes, Scale = Bits(d), Minimum = Bits(min) }, block);
    }

    private static void EightBits(ReadOnlySpan<float> values, Span<byte> block)
    {
        float largest = 0;
        foreach (float value in values) largest = Math.Max(largest, Math.Abs(value));
        float d = largest / 127, inverse = d == 0 ? 0 : 1 / d;
        Span<byte> codes = stackalloc byte[Elements];
        for (int j = 0; j < Elements; j++) codes[j] = (byte)(sbyte)MathF.Round(values[j] * inverse, MidpointRounding.AwayFromZero);
        Q8_0.Encode(new BlockContent { Codes = codes, Scale = Bits(d) }, block);
    }

    private static ushort Bits(float value) => BitConverter.HalfToUInt16Bits((Half)value);
}
