using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>Extracts a low-rank term of a scaled weight with a rank chosen by a rule.</summary>
internal static class RankSelection
{
    // After so many ranks without a better one the search ends.
    private const int Patience = 8;

    /// <summary>
    /// The predicted-noise rule: the rank r up to the cap with the largest net gain 0.5 log2(noise_0 / noise_r) - dfp r (m + n) / (m n), in bits a
    /// weight; best so far, with patience. Rank 0 when no rank gains.
    /// </summary>
    public static LowRankFactors ByPredictedNoise(
        double[] weight, double[] alpha, RankCost cost, double extraSize, PredictedNoise noise, Sketching sketching)
    {
        int cap = cost.Cap(extraSize);
        if (cap == 0) return LowRankFactors.None;
        Peeling peel = sketching.Peel(weight, alpha, cap, noise);
        double without = peel.Begin();
        if (without == 0) return LowRankFactors.None;
        var gains = new List<double>();
        for (int rank = 1; rank <= cap && !Exhausted(gains); rank++) gains.Add(NetGain(without, peel.Next(), cost.BitsPerWeight(rank)));
        return peel.Factors(Best(gains));
    }

    /// <summary>A given rank.</summary>
    public static LowRankFactors OfRank(double[] weight, double[] alpha, int rank, Sketching sketching)
    {
        if (rank == 0) return LowRankFactors.None;
        Peeling peel = sketching.Peel(weight, alpha, rank);
        peel.Begin();
        for (int term = 0; term < rank; term++) peel.Next();
        return peel.Factors(rank);
    }

    /// <summary>Net gain in bits a weight.</summary>
    public static double NetGain(double without, double with, double bits) => with <= 0 ? double.PositiveInfinity : (0.5 * Math.Log2(without / with)) - bits;

    /// <summary>The rank with the largest gain, or 0.</summary>
    public static int Best(IReadOnlyList<double> gains)
    {
        int best = 0;
        for (int i = 0; i < gains.Count; i++)
        {
            if (gains[i] > (best == 0 ? 0 : gains[best - 1])) best = i + 1;
        }
        return best;
    }

    /// <summary>Whether the last ranks brought nothing better.</summary>
    public static bool Exhausted(IReadOnlyList<double> gains) => gains.Count - Best(gains) >= Patience;
}
