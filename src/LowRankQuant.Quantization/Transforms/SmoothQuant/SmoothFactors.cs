using LowRankQuant.Models.Decoder.Folds;

namespace LowRankQuant.Quantization.Transforms.SmoothQuant;

/// <summary>
/// SmoothQuant's factors of a site (Xiao et al., ICML 2023, equation 4): max|X_j|^alpha / max|W_j|^(1 - alpha), at least 1e-5. A channel whose activations or weights are all 0
/// keeps 1: the least factor would make a norm's weight 1e5 times as large for nothing.
/// </summary>
public sealed class SmoothFactors
{
    /// <summary>The least factor.</summary>
    public const double Floor = 1e-5;

    private readonly double[] _inputs;
    private readonly float[] _weights;

    /// <summary>Takes the maxima of a site as it is; of grouped heads both are over the heads of a group.</summary>
    /// <param name="site">The site.</param>
    /// <param name="range">Its input's range.</param>
    public SmoothFactors(FoldSite site, ChannelRange range)
    {
        _inputs = new double[site.Channels];
        for (int column = 0; column < range.Low.Length; column++)
        {
            ref double largest = ref _inputs[site.FactorOf(column)];
            largest = Math.Max(largest, Math.Max(Math.Abs((double)range.Low[column]), Math.Abs((double)range.High[column])));
        }
        _weights = site.WeightMaxima();
    }

    /// <summary>The factors, one a channel of the site.</summary>
    /// <param name="alpha">How much of the range moves from activations to weights, 0 to 1.</param>
    public float[] At(double alpha)
    {
        var factors = new float[_inputs.Length];
        for (int i = 0; i < factors.Length; i++)
        {
            factors[i] = _inputs[i] == 0 || _weights[i] == 0 ? 1 : (float)Math.Max(Math.Pow(_inputs[i], alpha) / Math.Pow(_weights[i], 1 - alpha), Floor);
        }
        return factors;
    }
}
