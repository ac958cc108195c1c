namespace LowRankQuant.Models.Decoder;

/// <summary>Rates of decay -exp(w), which most checkpoints hold as w and some files as they are.</summary>
internal static class DecayRates
{
    private const int MantissaBits = 23, Neighbours = 4;

    /// <summary>-exp(log), computed in 64 bits and rounded once.</summary>
    public static float Of(float log) => (float)-Math.Exp(log);

    /// <summary>
    /// The number whose rate this is: of all that give it, the one of the fewest digits, which is the stored one where that has as few as a 16-bit float; where none gives it, the
    /// nearest.
    /// </summary>
    /// <param name="rate">Negative.</param>
    public static float LogOf(float rate)
    {
        float nearest = (float)Math.Log(-(double)rate);
        int bits = BitConverter.SingleToInt32Bits(nearest);
        for (int dropped = MantissaBits; dropped >= 0; dropped--)
        {
            int half = dropped == 0 ? 0 : 1 << (dropped - 1);
            float rounded = BitConverter.Int32BitsToSingle((bits + half) >> dropped << dropped);
            if (Of(rounded) == rate) return rounded;
        }
        for (int step = 1; step <= Neighbours; step++)
        {
            float above = BitConverter.Int32BitsToSingle(bits + step), below = BitConverter.Int32BitsToSingle(bits - step);
            if (Of(above) == rate) return above;
            if (Of(below) == rate) return below;
        }
        return nearest;
    }
}
