namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// Progressive hardening, after TesseraQ (Li et al., 2410.19103): in twenty rounds a falling share of the weights, those closest to a border between two codes, is left soft and the rest
/// is rounded; TesseraQ's shares. Where its soft weights are sigmoids of variables of their own, here the jump at a border is a ramp as wide as the share, for fractions of codes are
/// about uniform. The last fifth of the steps is rounded as what is stored.
/// </summary>
/// <param name="iterations">Steps in all.</param>
internal readonly struct HardeningSchedule(int iterations)
{
    private const double SoftPart = 0.8;

    private static readonly float[] SoftShares =
        [0.8f, 0.65f, 0.5f, 0.43f, 0.38f, 0.34f, 0.3f, 0.27f, 0.24f, 0.21f, 0.18f, 0.15f, 0.12f, 0.1f, 0.08f, 0.06f, 0.04f, 0.02f, 0.01f, 0.005f];

    /// <summary>Half the width of the ramps in steps of the grid, at a step counted from 0.</summary>
    public float SoftnessAt(int iteration)
    {
        int round = (int)(iteration / (SoftPart * iterations) * SoftShares.Length);
        return round < SoftShares.Length ? SoftShares[round] / 2 : 0;
    }
}
