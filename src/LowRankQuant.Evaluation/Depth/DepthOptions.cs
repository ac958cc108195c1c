namespace LowRankQuant.Evaluation.Depth;

/// <summary>What a report in depth looks at beside the logits of all positions.</summary>
public sealed record DepthOptions
{
    /// <summary>Flips that are kept, the surest.</summary>
    public const int Flips = 50;

    /// <summary>Tokens of context that are shown of a flip.</summary>
    public const int ContextTokens = 24;

    /// <summary>Beginnings of windows that both models continue.</summary>
    public const int Samples = 4;

    /// <summary>Most tokens of a beginning.</summary>
    public const int PromptTokens = 32;

    /// <summary>Most tokens that a beginning is continued by.</summary>
    public const int SampleTokens = 64;

    /// <summary>Most windows that linears are exchanged on where nobody says how many.</summary>
    public const int UsualSwapWindows = 4;

    /// <summary>
    /// The first so many windows show what every quantized linear loses alone; 0 for not at all. Null: up to <see cref="UsualSwapWindows"/>, as many as cost no more than the
    /// evaluation itself, perhaps none.
    /// </summary>
    public int? SwapWindows { get; init; }
}
