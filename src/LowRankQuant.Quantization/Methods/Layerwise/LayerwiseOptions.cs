using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>What a layer's inputs and target are.</summary>
internal sealed record LayerwiseOptions
{
    /// <summary>
    /// Whether every layer is fitted to the inputs that it gets in the model quantized so far, the earlier layers of its own block included; otherwise
    /// to those of the full-precision model.
    /// </summary>
    public bool QuantizedInputs { get; init; }

    /// <summary>
    /// With <see cref="QuantizedInputs"/>: whether the earlier layers of a layer's own block are quantized when its inputs are taken; else the block is in full precision, behind
    /// quantized ones.
    /// </summary>
    public bool Sequential { get; init; } = true;

    /// <summary>With <see cref="QuantizedInputs"/>: whether solvers are given the product with the full-precision inputs too (<see cref="Layers.LayerProblem.Cross"/>).</summary>
    public bool GivesCross { get; init; }

    /// <summary>Whether the inputs of the full-precision model are looked at.</summary>
    public bool LooksAtFullPrecision => !QuantizedInputs || Propagation > 0 || GivesCross;

    /// <summary>Strength of <see cref="ErrorPropagation"/>; needs <see cref="QuantizedInputs"/>.</summary>
    public double Propagation { get; init; }

    /// <summary>An expert that fewer calibration tokens reach is fitted to the inputs of all experts of its layer together.</summary>
    public int ExpertFloor { get; init; }

    /// <summary>Whether layers are solved; not where only the taking of statistics is timed.</summary>
    public bool Solves { get; init; } = true;

    /// <summary>
    /// Dampings of the input covariance. Several are tried on every layer, and the one whose result has the least output error on the held-out windows
    /// is kept.
    /// </summary>
    public IReadOnlyList<double> Dampings { get; init; } = [0.3];
}
