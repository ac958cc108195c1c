namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>How a block is trained.</summary>
public sealed record ReconstructionOptions
{
    /// <summary>Adam steps per block.</summary>
    public required int Iterations { get; init; }

    /// <summary>First learning rate; a cosine takes it to 0 over the iterations.</summary>
    public required double LearningRate { get; init; }

    /// <summary>Windows per step.</summary>
    public int Batch { get; init; } = 2;

    /// <summary>How the loss weighs tokens.</summary>
    public LossWeighting Loss { get; init; } = LossWeighting.Plain;

    /// <summary>Measure the held-out windows now and then and keep the parameters that did best there.</summary>
    public bool KeepBest { get; init; }

    /// <summary>Held-out measurements over the training, the last one at its end.</summary>
    public int KeepBestChecks { get; init; } = 4;
}
