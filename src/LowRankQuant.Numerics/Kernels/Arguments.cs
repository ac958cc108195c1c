namespace LowRankQuant.Numerics.Kernels;

/// <summary>Pointwise non-linearities.</summary>
public enum Activation
{
    /// <summary>x / (1 + e^-x).</summary>
    Silu,

    /// <summary>x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).</summary>
    GeluTanh,

    /// <summary>x/2 (1 + erf(x / sqrt 2)).</summary>
    GeluErf,

    /// <summary>max(x, 0).</summary>
    Relu,
}

/// <summary>
/// Sizes and options of causal grouped-query attention. Query i of a sequence stands at position i + keyLength - queryLength and sees key j when
/// j is at most that position and, with a window w, greater than the position minus w. Query head h uses key head h / (heads / keyValueHeads).
/// </summary>
/// <param name="Batch">Sequences.</param>
/// <param name="QueryLength">Query rows of each sequence.</param>
/// <param name="KeyLength">Key rows of each sequence; at least QueryLength.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads; divides Heads.</param>
/// <param name="HeadSize">Elements of one head.</param>
/// <param name="Scale">Multiplies q k.</param>
/// <param name="Window">Keys visible to a query, itself included; 0 for all.</param>
/// <param name="SoftCap">c in c tanh(score / c); 0 for none.</param>
public readonly record struct AttentionShape(
    int Batch, int QueryLength, int KeyLength, int Heads, int KeyValueHeads, int HeadSize, float Scale, int Window = 0, float SoftCap = 0);

/// <summary>
/// LRQ fake quantization of one weight (LRQ, arXiv 2407.11534, with the symbols of its released code):
/// <code>
/// D    = delta + r2 + c2                              delta = L2 U2 (LRQ) or S2 (FlexRound)
/// q    = clamp(round(W / exp(log s1 + D)), -zero, maxCode - zero)      round half to even
/// What = q exp(log s1)
/// </code>
/// Groups: column j of row i uses element [i, j / (in / groups)] of log s1 and zero.
/// </summary>
public readonly ref struct FakeQuantizeArguments
{
    /// <summary>W, [out, in].</summary>
    public required Tensor Weight { get; init; }

    /// <summary>log s1, [out, groups].</summary>
    public required Tensor LogScale { get; init; }

    /// <summary>
    /// The place of the value 0 among the codes, [out, groups]: an integer 0..maxCode on a uniform grid, 2^(bits-1) everywhere when it is symmetric, and
    /// any number where minima are stored apart.
    /// </summary>
    public required Tensor Zero { get; init; }

    /// <summary>delta, [out, in], or null for zeros. May be the same tensor as <see cref="Residue"/>.</summary>
    public Tensor? Delta { get; init; }

    /// <summary>r2, [out], or null.</summary>
    public Tensor? RowOffset { get; init; }

    /// <summary>c2, [in], or null.</summary>
    public Tensor? ColumnOffset { get; init; }

    /// <summary>The largest code, 2^bits - 1.</summary>
    public required int MaxCode { get; init; }

    /// <summary>What, [out, in]; written by the forward pass, read by the backward pass.</summary>
    public required Tensor Quantized { get; init; }

    /// <summary>M W exp(-D), [out, in], where M is 1 when the rounded value lies within the clamp (ends included) and else 0; written by the forward
    /// pass when not null, read by the backward pass.</summary>
    public Tensor? Residue { get; init; }
}

/// <summary>
/// Gradients of the LRQ fake quantizer with G = dloss/dWhat and R = M W exp(-D):
/// <code>
/// dD = -G R      dr2 = row sums of dD      dc2 = column sums of dD      dlog s1 = sums over each group of G (What - R)
/// </code>
/// All are overwritten.
/// </summary>
public readonly ref struct FakeQuantizeGradients
{
    /// <summary>G, [out, in].</summary>
    public required Tensor Upstream { get; init; }

    /// <summary>dD, [out, in]; may be the same tensor as the residue or as G.</summary>
    public Tensor? Delta { get; init; }

    /// <summary>dlog s1, [out, groups].</summary>
    public required Tensor LogScale { get; init; }

    /// <summary>dr2, [out], or null.</summary>
    public Tensor? RowOffset { get; init; }

    /// <summary>dc2, [in], or null.</summary>
    public Tensor? ColumnOffset { get; init; }
}

/// <summary>
/// One Adam step without weight decay: m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// x -= rate * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
/// </summary>
public readonly ref struct AdamArguments
{
    /// <summary>x, any shape.</summary>
    public required Tensor Parameters { get; init; }

    /// <summary>g, as many elements.</summary>
    public required Tensor Gradient { get; init; }

    /// <summary>m.</summary>
    public required Tensor FirstMoment { get; init; }

    /// <summary>v.</summary>
    public required Tensor SecondMoment { get; init; }

    /// <summary>Learning rate of this step.</summary>
    public required float Rate { get; init; }

    /// <summary>Number of this step, from 1.</summary>
    public required int Step { get; init; }

    /// <summary>Decay of the first moment.</summary>
    public float Beta1 { get; init; }

    /// <summary>Decay of the second moment.</summary>
    public float Beta2 { get; init; }

    /// <summary>Added to the root of the second moment.</summary>
    public float Epsilon { get; init; }
}
