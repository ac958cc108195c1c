using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>
/// BLC, the best low-rank term under clipping (FLRQ, Eq. 12 and Algorithm 2, as the released code runs it):
/// <code>
/// W_r = R1-FLR(W);  W_q = Quant(Clip(W - W_r, 40 / 0.8))
/// repeat T times:  W_r = R1-FLR(W - W_q);  W_q = Quant(Clip(W - W_r, 20 / 0.5));  E = |X (W - W_q - W_r)^T|^2;  keep the best pair
/// </code>
/// The first pair is scored too, so the result is never worse than one shot. T = 1, 1, 20 for 4, 3, 2 bits.
/// </summary>
/// <param name="extract">R1-FLR or another rule: from a matrix [m, n] to a low-rank term of it.</param>
/// <param name="epochs">T.</param>
/// <param name="clip">Whether the residual is clipped before it is rounded.</param>
/// <param name="later">Clip search after the first pair.</param>
internal sealed class Blc(Func<double[], LowRankFactors> extract, int epochs, bool clip, ClipRange later)
{
    /// <summary>A pair and its error per token.</summary>
    public sealed record Pair(LowRankFactors Factors, GridWeight Weight, double Error);

    /// <summary>Every pair's error per token and rank, in order; what the last run saw.</summary>
    public List<(double Error, int Rank)> Trace { get; } = [];

    /// <summary>Runs the loop and returns the best pair.</summary>
    public Pair Run(LayerProblem problem)
    {
        Trace.Clear();
        Pair best = Score(problem, extract(problem.Weight), ClipRange.Wide), current = best;
        for (int epoch = 0; epoch < epochs; epoch++)
        {
            problem.Cancellation.ThrowIfCancellationRequested();
            current = Score(problem, extract(current.Weight.ErrorOf(problem.Weight)), later);
            if (current.Error < best.Error) best = current;
        }
        return best;
    }

    private Pair Score(LayerProblem problem, LowRankFactors factors, ClipRange range)
    {
        int m = problem.OutFeatures, n = problem.InFeatures;
        problem.TakeBack();
        double[] residual = factors.SubtractFrom(problem.Weight, m, n, problem.Workers);
        double[]? limits = clip ? problem.ClipLimits(residual, range) : null;
        GridWeight weight = problem.RoundToNearest(residual, limits);
        weight.LeaveErrorOf(residual);
        double error = QuadraticForm.Rows(residual, problem.Inputs.Covariance, m, n, problem.Workers).Sum();
        Trace.Add((error, factors.Rank));
        problem.TakeBack();
        return new Pair(factors, weight, error);
    }
}
