namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>Elements of four bits that name one of sixteen levels.</summary>
internal static class NibbleLevels
{
    /// <summary>The levels of IQ4_NL and IQ4_XS: denser around zero, as weights are.</summary>
    public static ReadOnlySpan<sbyte> NonLinear => [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

    /// <summary>Twice the values of a float of one sign, two exponent bits and one mantissa bit (E2M1). Minus zero is zero.</summary>
    public static ReadOnlySpan<sbyte> Float4 => [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

    /// <summary>Decodes two elements a byte: low nibbles are the first half of the elements, high nibbles the second.</summary>
    public static void Decode(float scale, ReadOnlySpan<sbyte> levels, ReadOnlySpan<byte> qs, Span<float> values)
    {
        Span<float> low = values[..qs.Length], high = values.Slice(qs.Length, qs.Length);
        for (int j = 0; j < qs.Length; j++)
        {
            low[j] = scale * levels[qs[j] & 15];
            high[j] = scale * levels[qs[j] >> 4];
        }
    }
}
