using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Gptq;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>Every grid with every rank: the error of a grid is what error-compensated rounding leaves, on clipped groups where it is uniform.</summary>
/// <param name="context">Grids, target, scales and threads.</param>
/// <param name="choosesGrids">Whether grids may change, or only ranks.</param>
/// <param name="largestRank">Largest rank of a layer.</param>
/// <param name="factorBits">Bits of an element of a factor.</param>
internal sealed class GridChoices(ModelPlanContext context, bool choosesGrids, int largestRank, int factorBits) : ILayerChoices
{
    private readonly Scheme _scheme = context.Scheme ?? throw new ArgumentException("Grids are chosen from those of a scheme.", nameof(context));
    private readonly WorkerPool _workers = context.Model.Device.HostWorkers;
    private double[] _inverse = [];

    /// <inheritdoc/>
    public void BeginStage(DampedCovariance metric) => _inverse = GptqRounding.InverseFactor(metric, _workers);

    /// <inheritdoc/>
    public IEnumerable<LayerChoice> For(string module, LinearSlot slot, InputStatistics inputs, DampedCovariance metric, double[] sensitivity)
    {
        int m = slot.OutFeatures, n = slot.InFeatures, ranks = Math.Min(largestRank, Math.Min(m, n));
        double[] weight = [.. slot.WeightValues().Select(value => (double)value)];
        foreach (WeightGrid grid in BudgetGrids.For(_scheme.For(module).Grid, choosesGrids, context.Target, n))
        {
            double[]? limits = grid is UniformGrid uniform ? ClipSearch.Find(weight, m, n, uniform, inputs.Covariance, ClipRange.Wide, _workers).Limits : null;
            GridWeight rounded = NearestRounding.Round(weight, m, n, grid, _scheme.ScaleType, inputs, _workers, limits);
            GptqRounding.Round(weight, rounded, _inverse, _workers);
            double[] losses = ErrorSpectrum.Losses(rounded.ErrorOf(weight), m, metric, sensitivity, ranks, _workers);
            double cost = grid.StoredBits(m, n, _scheme.ScaleType);
            var branch = new RankCost(m, n, grid.Bits, factorBits);
            for (int rank = 0; rank <= ranks; rank++)
                yield return new LayerChoice(grid, rank, cost + (branch.BitsPerWeight(rank) * m * n), losses[rank]);
        }
    }
}
