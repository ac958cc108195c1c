namespace LowRankQuant.Evaluation;

/// <summary>How a text is cut into windows.</summary>
public sealed record TextWindowOptions
{
    /// <summary>The longest context taken when none is asked for.</summary>
    public const int UsualContext = 2048;

    /// <summary>Tokens of a window; null for 2,048 or the model's positions, whichever is less.</summary>
    public int? Context { get; init; }

    /// <summary>
    /// Tokens from the start of a window to that of the next; null for the context. With less, windows overlap and only the new tokens count.
    /// </summary>
    public int? Stride { get; init; }

    /// <summary>Windows to take from the start of the text; null for all.</summary>
    public int? Windows { get; init; }

    /// <summary>Keeps a last window that is shorter than the context (as the LRQ evaluation does; GPTQ's drops it).</summary>
    public bool KeepPartial { get; init; } = true;
}
