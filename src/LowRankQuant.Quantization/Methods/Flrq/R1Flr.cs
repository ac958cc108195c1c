using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>Why the peeling of terms ended.</summary>
internal enum PeelStop
{
    /// <summary>The largest magnitude fell by less than a tenth over eight ranks.</summary>
    Slope,

    /// <summary>The next rank would exceed the extra size.</summary>
    Budget,

    /// <summary>Nothing remained: the matrix is of low rank.</summary>
    Exact,

    /// <summary>The rank costs more than the range it saves.</summary>
    Gain,

    /// <summary>Every rank was peeled.</summary>
    Full,
}

/// <summary>What R1-FLR found.</summary>
/// <param name="Factors">U V of the chosen rank, un-scaled.</param>
/// <param name="Stop">Why the peeling ended.</param>
/// <param name="RawRank">The rank before the last test, that the whole term buys a tenth of the range.</param>
/// <param name="Magnitudes">h: the largest magnitude after each peeled term.</param>
/// <param name="SizeFactors">K of each.</param>
/// <param name="GainFactors">Q of each.</param>
internal sealed record PeelResult(
    LowRankFactors Factors, PeelStop Stop, int RawRank, IReadOnlyList<double> Magnitudes, IReadOnlyList<double> SizeFactors, IReadOnlyList<double> GainFactors);

/// <summary>
/// R1-FLR, the flexible rank selection of FLRQ (Eq. 9, Algorithm 1) with the constants of the released code (specification FLRQ 3.2). Terms are peeled
/// from A = diag(alpha) W^T [n, m]; with w0 = max|A| at first, h_i after term i, r = i + 1:
/// <code>
/// K = 1 + dfp r (m + n) / (d m n)        Q = (d + log2(w0 / h_i)) / d
/// stop, in this order:  slope   i >= 8 and (h_{i-8} - h_i) / h_{i-8} &lt; 0.1   rank i - 4
///                       budget  K > 1 + x                                     rank i
///                       exact   h_i &lt;= 1e-12 w0                            rank i + 1 (ours)
///                       gain    K >= Q and i > it                             rank i - 1
/// then rank >= 1, and rank 0 where the whole term took less than a tenth off w0
/// </code>
/// An extra size that does not pay for rank 1, such as 0, gives rank 0, where the released code can give 1.
/// </summary>
internal static class R1Flr
{
    private const int Window = 8;
    private const int BackOff = 4;
    private const double LeastDrop = 0.10;
    private const double Vanished = 1e-12;

    /// <summary>Extracts a low-rank term by the authors' rule.</summary>
    /// <param name="weight">W, [m, n].</param>
    /// <param name="alpha">Activation scale, [n].</param>
    /// <param name="cost">m, n, d and dfp.</param>
    /// <param name="extraSize">x.</param>
    /// <param name="sketching">How terms are found.</param>
    public static PeelResult Extract(double[] weight, double[] alpha, RankCost cost, double extraSize, Sketching sketching)
    {
        // The budget ends the peeling one term beyond the cap.
        int cap = cost.Cap(extraSize), most = Math.Min(cap + 1, Math.Min(cost.OutFeatures, cost.InFeatures)), iterations = sketching.PowerIterations;
        Peeling peel = sketching.Peel(weight, alpha, most);
        var h = new List<double>();
        var sizes = new List<double>();
        var gains = new List<double>();
        double first = peel.Begin();
        if (cap == 0 || first == 0) return new PeelResult(LowRankFactors.None, PeelStop.Budget, 0, h, sizes, gains);
        int rank = 0;
        var stop = PeelStop.Full;
        for (int i = 0; i < most; i++)
        {
            h.Add(peel.Next());
            sizes.Add(cost.SizeFactor(i + 1));
            gains.Add((cost.Bits + Math.Log2(first / h[i])) / cost.Bits);
            PeelStop? here =
                i >= Window && (h[i - Window] - h[i]) / h[i - Window] < LeastDrop ? PeelStop.Slope
                : sizes[i] > 1 + extraSize ? PeelStop.Budget
                : h[i] <= Vanished * first ? PeelStop.Exact
                : sizes[i] >= gains[i] && i > iterations ? PeelStop.Gain
                : null;
            rank = here switch { PeelStop.Slope => i - BackOff, PeelStop.Exact => i + 1, PeelStop.Gain => i - 1, _ => i };
            if (here is not { } reason) continue;
            stop = reason;
            break;
        }
        int raw = rank;
        rank = Math.Max(rank, 1);
        if ((first - h[rank - 1]) / first < LeastDrop) rank = 0;
        return new PeelResult(peel.Factors(rank), stop, raw, h, sizes, gains);
    }
}
