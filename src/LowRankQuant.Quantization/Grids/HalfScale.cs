namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// Rounding of block scales and minima to halves. Unlike the scales of groups they may be subnormal: engines multiply them by integers in 32-bit floats,
/// where nothing is lost or flushed.
/// </summary>
internal static class HalfScale
{
    /// <summary>Rounds a block scale to nearest; never to 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not finite or does not fit a half.</exception>
    public static Half Round(float value)
    {
        Half rounded = RoundMinimum(value);
        return rounded != (Half)0 ? rounded : float.IsNegative(value) ? -Half.Epsilon : Half.Epsilon;
    }

    /// <summary>Rounds the scale of the minima, which may be 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not finite or does not fit a half.</exception>
    public static Half RoundMinimum(float value)
    {
        var rounded = (Half)value;
        if (!Half.IsFinite(rounded))
            throw new ArgumentOutOfRangeException(nameof(value), value, "A block scale must be finite and fit a half; such weights need a uniform grid with `scale_dtype` fp32.");
        return rounded;
    }
}
