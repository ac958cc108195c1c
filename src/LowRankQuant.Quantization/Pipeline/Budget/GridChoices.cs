using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.Gptq;
using LowRankQuant.Quantization.Methods.Layerwise;

namespace LowRankQuant.Quantization.Pipeline.Budget;

/// <summary>Every grid with every rank: the error of a grid is what error-compensated rounding leaves, on clipped groups where it is uniform.</summary>
/// <param name="recipe">Grids, target and scales.</param>
/// <param name="correction">Ranks and factors.</param>
/// <param name="workers">Threads.</param>
internal sealed class GridChoices(Recipe recipe, CorrectionRecipe correction, WorkerPool workers) : ILayerChoices
{
    private readonly Grids.Scheme _scheme = recipe.Scheme;
    private double[] _inverse = [];

    /// <inheritdoc/>
    public void BeginStage(DampedCovariance metric) => _inverse = GptqRounding.InverseFactor(metric);

    /// <inheritdoc/>
    public IEnumerable<LayerChoice> For(string module, LinearSlot slot, InputStatistics inputs, DampedCovariance metric, double[] sensitivity)
    {
        int m = slot.OutFeatures, n = slot.InFeatures, ranks = Math.Min(correction.Rank, Math.Min(m, n));
        double[] weight = [.. slot.WeightValues().Select(value => (double)value)];
        foreach (WeightGrid grid in BudgetGrids.For(_scheme.For(slot.Name).Grid, correction.Widths, recipe.Target?.Engine, n))
        {
            double[]? limits = grid is UniformGrid uniform ? ClipSearch.Find(weight, m, n, uniform, inputs.Covariance, ClipRange.Wide, workers).Limits : null;
            GridWeight rounded = NearestRounding.Round(weight, m, n, grid, inputs, workers, limits);
            GptqRounding.Round(weight, rounded, _inverse, workers);
            double[] losses = ErrorSpectrum.Losses(rounded.ErrorOf(weight), m, metric, sensitivity, ranks, workers);
            double cost = grid.StoredBits(m, n, recipe.ScaleType);
            var branch = new RankCost(m, n, grid.Bits, correction.FactorBits);
            for (int rank = 0; rank <= ranks; rank++)
                yield return new LayerChoice(grid, rank, cost + (branch.BitsPerWeight(rank) * m * n), losses[rank]);
        }
    }
}
