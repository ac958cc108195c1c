namespace LowRankQuant.Quantization.Methods;

/// <summary>How the squared error of a block is summed over tokens.</summary>
public enum LossWeighting
{
    /// <summary>Every token counts as it is, as in the paper: sum over tokens, mean over batch and channels.</summary>
    Plain,

    /// <summary>Every token's error is divided by the mean square of its own target, so that a few massive activations do not drown the rest.</summary>
    Relative,

    /// <summary>As relative, with the errors of a token measured by what the model's next-token distribution feels of them (<see cref="Reconstruction.OutputMetric"/>).</summary>
    Fisher,
}
