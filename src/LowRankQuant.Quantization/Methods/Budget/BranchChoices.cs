using LowRankQuant.Models;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>Every rank of a branch on top of a model that is already quantized.</summary>
/// <param name="quantized">The quantized model.</param>
/// <param name="largestRank">Largest rank of a layer.</param>
/// <param name="factorBits">Bits of an element of a factor.</param>
/// <param name="workers">Threads.</param>
internal sealed class BranchChoices(CausalModel quantized, int largestRank, int factorBits, WorkerPool workers) : ILayerChoices
{
    /// <inheritdoc/>
    public void BeginStage(DampedCovariance metric)
    {
        // Nothing is shared between layers.
    }

    /// <inheritdoc/>
    public IEnumerable<LayerChoice> For(string module, LinearSlot slot, InputStatistics inputs, DampedCovariance metric, double[] sensitivity)
    {
        int m = slot.OutFeatures, n = slot.InFeatures, ranks = Math.Min(largestRank, Math.Min(m, n));
        var stored = new float[m * n];
        quantized.Checkpoint.Read($"{module}.weight", stored);
        float[] weight = slot.WeightValues();
        var error = new double[stored.Length];
        for (int i = 0; i < error.Length; i++) error[i] = (double)weight[i] - stored[i];
        double[] losses = ErrorSpectrum.Losses(error, m, metric, sensitivity, ranks, workers);
        double cost = quantized.Checkpoint.StoredBitsOf($"{module}.weight");
        var branch = new RankCost(m, n, 1, factorBits);
        for (int rank = 0; rank <= ranks; rank++) yield return new LayerChoice(null, rank, cost + (branch.BitsPerWeight(rank) * m * n), losses[rank]);
    }
}
