using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>What a plan may choose from for a layer.</summary>
internal interface ILayerChoices
{
    /// <summary>Starts on a layer's inputs; choices of all layers that share them follow.</summary>
    void BeginStage(DampedCovariance metric);

    /// <summary>The choices of a layer, with cost and predicted loss.</summary>
    /// <param name="module">Module path.</param>
    /// <param name="slot">The layer in full precision.</param>
    /// <param name="inputs">Its inputs in the full-precision model.</param>
    /// <param name="metric">Their damped covariance.</param>
    /// <param name="sensitivity">[outFeatures]; see <see cref="OutputSensitivity"/>.</param>
    IEnumerable<LayerChoice> For(string module, LinearSlot slot, InputStatistics inputs, DampedCovariance metric, double[] sensitivity);
}
