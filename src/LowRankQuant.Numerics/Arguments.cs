using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics;

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

    /// <summary>max(x, 0)^2.</summary>
    ReluSquared,

    /// <summary>1 / (1 + e^-x): the gates of shared experts.</summary>
    Sigmoid,

    /// <summary>x: a gate that multiplies as it is.</summary>
    Identity,
}

/// <summary>
/// Sizes and options of causal grouped-query attention. Query i of a sequence stands at position p = i + keyLength - queryLength and sees key j when
/// j is at most p and, with a window w, greater than p - w, and, with chunks of c, in the same chunk: floor(j / c) = floor(p / c). Query head h uses
/// key head h / (heads / keyValueHeads).
/// </summary>
/// <param name="Batch">Sequences.</param>
/// <param name="QueryLength">Query rows of each sequence.</param>
/// <param name="KeyLength">Key rows of each sequence; at least QueryLength.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads; divides Heads.</param>
/// <param name="HeadSize">Elements of one query or key head.</param>
/// <param name="Scale">Multiplies q k.</param>
/// <param name="Window">Keys visible to a query, itself included; 0 for all.</param>
/// <param name="SoftCap">c in c tanh(score / c); 0 for none.</param>
/// <param name="Chunk">Keys of one chunk; a query sees only its own chunk. 0 for none.</param>
/// <param name="ValueHead">Elements of one value head and of one head of the output; 0 for HeadSize.</param>
public readonly record struct AttentionShape(
    int Batch, int QueryLength, int KeyLength, int Heads, int KeyValueHeads, int HeadSize, float Scale, int Window = 0, float SoftCap = 0,
    int Chunk = 0, int ValueHead = 0)
{
    /// <summary>Elements of one value head.</summary>
    public int ValueHeadSize => ValueHead == 0 ? HeadSize : ValueHead;

    /// <summary>The first key that the query at <paramref name="position"/> sees; the last is at the position itself.</summary>
    public int FirstKey(int position) => Math.Max(
        Window > 0 ? Math.Max(0, position - Window + 1) : 0, Chunk > 0 ? position / Chunk * Chunk : 0);
}

/// <summary>
/// Constants of attention beside q, k and v. With head h, key j and its score s (scaled, and capped where there is a cap):
/// softmax over j of s + keyBias[h, j], where the denominator has one more term e^sink[h] that no value belongs to.
/// </summary>
/// <param name="KeyBias">[heads, at least keyLength] or null: ALiBi as slope times j (any shift per query leaves the softmax as it is).</param>
/// <param name="Sinks">[heads] or null.</param>
public readonly record struct AttentionTerms(Tensor? KeyBias = null, Tensor? Sinks = null);

/// <summary>
/// LRQ fake quantization of one weight (LRQ, arXiv 2407.11534, with the symbols of its released code):
/// <code>
/// D    = delta + r2 + c2                              delta = L2 U2 (LRQ) or S2 (FlexRound)
/// q    = clamp(round(W / exp(log s1 + D) + V), -zero, maxCode - zero)  round half to even, V of lrq+, else 0
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

    /// <summary>V, [out, in] in steps, added in front of the rounding; null for zeros, and with <see cref="Floats"/>.</summary>
    public Tensor? Offset { get; init; }

    /// <summary>
    /// Half the width of the ramp that takes the place of each of the rounding's jumps, in steps, from 0 (rounding) to 1/2 (none): values further than this from a border are rounded,
    /// the others lie between the two codes in proportion. 0 with <see cref="Floats"/>.
    /// </summary>
    public float Softness { get; init; }

    /// <summary>dWhat/dV = M exp(log s1), [out, in], M as in <see cref="Residue"/>; written by the forward pass when not null, read by the backward pass.</summary>
    public Tensor? Slope { get; init; }

    /// <summary>The largest code, 2^bits - 1.</summary>
    public required int MaxCode { get; init; }

    /// <summary>What codes stand for where they are floats, and <see cref="Zero"/> says nothing; null for integers.</summary>
    public SmallFloat? Floats { get; init; }

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
/// dV = G M exp(log s1)      dzero = sums over each group of G (M - 1) exp(log s1)
/// </code>
/// Rounding counts as the identity, and so does its ramp. All are overwritten.
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

    /// <summary>dV, [out, in], or null; needs <see cref="FakeQuantizeArguments.Slope"/>.</summary>
    public Tensor? Offset { get; init; }

    /// <summary>dzero, [out, groups], or null; needs <see cref="FakeQuantizeArguments.Slope"/>.</summary>
    public Tensor? Zero { get; init; }
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
