namespace LowRankQuant.Numerics;

/// <summary>
/// Sizes of the gated delta rule (arXiv 2412.06464; with a decay per channel: Kimi Delta Attention, arXiv 2510.26692). Every value head keeps a state
/// S [KeySize, ValueSize] over the tokens of a sequence; value head h uses key head h / (ValueHeads / KeyHeads):
/// <code>
/// n(x) = x / sqrt(sum x^2 + 1e-6)      q^ = n(q) / sqrt(KeySize)      k^ = n(k)
/// D = e^g S        u = v - D^T k^      S = D + beta k^ u^T            y = S^T q^
/// </code>
/// </summary>
/// <param name="Batch">Sequences.</param>
/// <param name="Length">Rows of each sequence.</param>
/// <param name="KeyHeads">Heads of q and k.</param>
/// <param name="ValueHeads">Heads of v, of decay, beta and state; a multiple of KeyHeads.</param>
/// <param name="KeySize">Elements of one head of q and of k.</param>
/// <param name="ValueSize">Elements of one head of v and of the output.</param>
/// <param name="ChannelDecay">A log decay for every row of the state instead of one for all of it.</param>
public readonly record struct DeltaRuleShape(
    int Batch, int Length, int KeyHeads, int ValueHeads, int KeySize, int ValueSize, bool ChannelDecay = false)
{
    /// <summary>Tokens of one chunk: the state before each chunk is what a backward pass needs.</summary>
    public const int Chunk = 64;

    /// <summary>Added to the sum of squares of q and of k.</summary>
    public const float Epsilon = 1e-6f;

    /// <summary>Rows of q, k, v and of the output.</summary>
    public int Rows => Batch * Length;

    /// <summary>Numbers of states that are kept for the way back, a token of whole chunks.</summary>
    public long KeptNumbers => (long)ValueHeads * KeySize * ValueSize / Chunk;

    /// <summary>Chunks of one sequence; the last one may be short.</summary>
    public int Chunks => (Length + Chunk - 1) / Chunk;

    /// <summary>Columns of the log decay.</summary>
    public int DecayColumns => ChannelDecay ? ValueHeads * KeySize : ValueHeads;

    /// <summary>Rows of a state of all sequences and heads; its columns are ValueSize.</summary>
    public int StateRows => Batch * ValueHeads * KeySize;

    /// <summary>Rows of the states that are kept for the backward pass.</summary>
    public int KeptRows => Batch * Chunks * ValueHeads * KeySize;
}

/// <summary>Inputs of the gated delta rule, or their gradients.</summary>
/// <param name="Q">[batch * length, keyHeads * keySize].</param>
/// <param name="K">[batch * length, keyHeads * keySize].</param>
/// <param name="V">[batch * length, valueHeads * valueSize].</param>
/// <param name="LogDecay">g, at most 0: [batch * length, valueHeads], or [batch * length, valueHeads * keySize] with a decay per channel.</param>
/// <param name="Beta">[batch * length, valueHeads].</param>
public readonly record struct DeltaRuleTerms(Tensor Q, Tensor K, Tensor V, Tensor LogDecay, Tensor Beta);
