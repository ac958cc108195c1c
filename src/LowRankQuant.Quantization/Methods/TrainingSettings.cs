namespace LowRankQuant.Quantization.Methods;

/// <summary>How a block is trained by gradients.</summary>
public sealed record TrainingSettings
{
    /// <summary>Adam steps per block.</summary>
    public required int Iterations { get; init; }

    /// <summary>First learning rate; a cosine takes it to 0 over the iterations.</summary>
    public required double LearningRate { get; init; }

    /// <summary>
    /// Whether a step moves every number by the rate against the sign of its gradient, and a line takes the rate to 0 (SignSGD, as AutoRound learns); else Adam and a cosine.
    /// </summary>
    public bool SignDescent { get; init; }

    /// <summary>Where no held-out windows judge: keep the parameters in front of the step whose own windows had the least loss, as AutoRound does.</summary>
    public bool KeepBestStep { get; init; }

    /// <summary>Whether the rounding is soft at first and hardens on the way (<see cref="Reconstruction.HardeningSchedule"/>).</summary>
    public bool Harden { get; init; }

    /// <summary>Windows per step.</summary>
    public int Batch { get; init; } = 2;

    /// <summary>Whether blocks learn on the inputs of the full-precision model, and not on those of the model quantized so far.</summary>
    public bool FullPrecisionInputs { get; init; }

    /// <summary>How the loss weighs tokens.</summary>
    public LossWeighting Loss { get; init; } = LossWeighting.Plain;

    /// <summary>Measure the held-out windows now and then and keep the parameters that did best there.</summary>
    public bool KeepBest { get; init; }

    /// <summary>
    /// How often a block starts again at a smaller rate when training made it no better than it began. 0 is the paper's procedure: the last step's
    /// parameters are kept whatever they are, unless they are no numbers.
    /// </summary>
    public int Restarts { get; init; } = 2;

    /// <summary>
    /// A step whose loss exceeds this many times the running mean has its gradient scaled down to that multiple; infinity for never, as in the paper.
    /// With a loss relative to each token one token that wrongly becomes a massive activation can weigh a thousand times a whole window, and Adam's second
    /// moment would remember it for the rest of a short training.
    /// </summary>
    public double SpikeLimit { get; init; } = double.PositiveInfinity;

    /// <summary>What is quantized beside weights.</summary>
    public QuantizedInputs Quantizes { get; init; }

    /// <summary>Whether the quantizers of activations, keys and values are in the block while it is trained.</summary>
    public bool Inside { get; init; }

    /// <summary>Whether static steps of inputs are learned along (LSQ, Esser et al., ICLR 2020), as log s; needs <see cref="Inside"/>.</summary>
    public bool LearnSteps { get; init; }

    /// <summary>First learning rate of these steps; the same cosine takes it to 0.</summary>
    public double StepRate { get; init; }

    /// <summary>Held-out measurements over the training, the last one at its end.</summary>
    public int KeepBestChecks { get; init; } = 4;
}
