using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.Gptq;
using LowRankQuant.Quantization.Methods.Layerwise;

namespace LowRankQuant.Quantization.Pipeline.Budget;

/// <summary>Every width with every rank: the error of a width is what error-compensated rounding on a clipped grid leaves.</summary>
/// <param name="recipe">Grid and scales.</param>
/// <param name="correction">Widths, ranks and factors.</param>
/// <param name="workers">Threads.</param>
internal sealed class WidthChoices(Recipe recipe, CorrectionRecipe correction, WorkerPool workers) : ILayerChoices
{
    private double[] _inverse = [];

    /// <inheritdoc/>
    public void BeginStage(DampedCovariance metric) => _inverse = GptqRounding.InverseFactor(metric);

    /// <inheritdoc/>
    public IEnumerable<LayerChoice> For(string module, LinearSlot slot, InputStatistics inputs, DampedCovariance metric, double[] sensitivity)
    {
        int m = slot.OutFeatures, n = slot.InFeatures;
        double[] weight = [.. ((DenseWeight)slot.Weight).Value.ToArray().Select(value => (double)value)];
        bool keep = correction.Widths == BudgetWidths.Fixed;
        int least = keep ? recipe.Bits : UniformGrid.MinBits, most = keep ? recipe.Bits : UniformGrid.MaxBits;
        int ranks = Math.Min(correction.Rank, Math.Min(m, n));
        for (int bits = least; bits <= most; bits++)
        {
            UniformGrid grid = (UniformGrid)recipe.Grid with { Bits = bits };
            double[] limits = ClipSearch.Find(weight, m, n, grid, inputs.Covariance, ClipRange.Wide, workers).Limits;
            GridWeight rounded = GridWeight.RoundToNearest(weight, m, n, grid, workers, limits);
            GptqRounding.Round(weight, rounded, _inverse, workers);
            double[] losses = ErrorSpectrum.Losses(rounded.ErrorOf(weight), m, metric, sensitivity, ranks, workers);
            double cost = grid.StoredBits(m, n, recipe.ScaleType);
            var branch = new RankCost(m, n, bits, correction.FactorBits);
            for (int rank = 0; rank <= ranks; rank++)
                yield return new LayerChoice(bits, rank, cost + (branch.BitsPerWeight(rank) * m * n), losses[rank]);
        }
    }
}
