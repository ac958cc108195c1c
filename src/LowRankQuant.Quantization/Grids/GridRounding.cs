namespace LowRankQuant.Quantization.Grids;

/// <summary>The last rounding of a group of weights: codes are chosen once more with the step as it is stored.</summary>
internal static class GridRounding
{
    /// <summary>code = clamp(round(W / (s e^D) + zero), 0, maxCode). Round half to even, in 32-bit floats.</summary>
    /// <param name="weight">The group.</param>
    /// <param name="exponent">D, or empty for zeros.</param>
    /// <param name="step">s as stored; positive.</param>
    /// <param name="zero">The place of the value 0 among the codes.</param>
    /// <param name="maxCode">The largest code.</param>
    /// <param name="codes">Receives the codes.</param>
    public static void Round(ReadOnlySpan<float> weight, ReadOnlySpan<float> exponent, float step, float zero, int maxCode, Span<byte> codes)
    {
        // The whole part of the zero is added after rounding: it would cost the ratio digits.
        float whole = MathF.Round(zero), shift = zero - whole;
        for (int i = 0; i < weight.Length; i++)
        {
            float divisor = exponent.IsEmpty ? step : step * MathF.Exp(exponent[i]);
            codes[i] = (byte)(Math.Clamp(MathF.Round((weight[i] / divisor) + shift), -whole, maxCode - whole) + whole);
        }
    }
}
