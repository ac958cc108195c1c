namespace LowRankQuant.Quantization.Grids;

/// <summary>The last rounding of a group of weights: codes are chosen once more with the step as it is stored.</summary>
internal static class GridRounding
{
    /// <summary>A group of a matrix that may be empty.</summary>
    public static ReadOnlySpan<float> Part(ReadOnlyMemory<float> matrix, int start, int size) => matrix.IsEmpty ? default : matrix.Span.Slice(start, size);

    /// <summary>code = clamp(round(W / (s e^D) + V + zero), 0, maxCode). Round half to even, in 32-bit floats.</summary>
    /// <param name="weight">The group.</param>
    /// <param name="exponent">D, or empty for zeros.</param>
    /// <param name="offset">V, or empty for zeros.</param>
    /// <param name="step">s as stored; positive.</param>
    /// <param name="zero">The place of the value 0 among the codes.</param>
    /// <param name="maxCode">The largest code.</param>
    /// <param name="codes">Receives the codes.</param>
    public static void Round(ReadOnlySpan<float> weight, ReadOnlySpan<float> exponent, ReadOnlySpan<float> offset, float step, float zero, int maxCode, Span<byte> codes)
    {
        // The whole part of the zero is added after rounding: it would cost the ratio digits.
        float whole = MathF.Round(zero), shift = zero - whole;
        for (int i = 0; i < weight.Length; i++)
        {
            float divisor = exponent.IsEmpty ? step : step * MathF.Exp(exponent[i]);
            float value = (weight[i] / divisor) + shift;
            if (!offset.IsEmpty) value += offset[i];
            codes[i] = (byte)(Math.Clamp(MathF.Round(value), -whole, maxCode - whole) + whole);
        }
    }
}
