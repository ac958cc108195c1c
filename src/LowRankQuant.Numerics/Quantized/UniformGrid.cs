namespace LowRankQuant.Numerics.Quantized;

/// <summary>How many weights share one scale (and zero point).</summary>
public enum Granularity
{
    /// <summary>One scale for the whole matrix.</summary>
    Tensor,

    /// <summary>One scale per output channel (row).</summary>
    Channel,

    /// <summary>One scale per run of <see cref="UniformGrid.GroupSize"/> consecutive input features of a row.</summary>
    Group,
}

/// <summary>
/// A uniform integer grid: codes 0..2^bits-1, value = (code - zero) * scale. A symmetric grid is the grid whose zero point is 2^(bits-1)
/// everywhere, so both kinds share every formula.
/// </summary>
public sealed record UniformGrid : WeightGrid
{
    /// <summary>The smallest supported code width.</summary>
    public const int MinBits = 2;

    /// <summary>The largest supported code width.</summary>
    public const int MaxBits = 8;

    /// <summary>A grid.</summary>
    /// <param name="bits">Width of a code, 2 to 8.</param>
    /// <param name="symmetric">Whether the zero point is fixed at the middle and not stored.</param>
    /// <param name="granularity">How many weights share a scale.</param>
    /// <param name="groupSize">Inputs per group when <paramref name="granularity"/> is <see cref="Granularity.Group"/>; otherwise 0.</param>
    public UniformGrid(int bits, bool symmetric, Granularity granularity, int groupSize = 0)
        : base(bits, symmetric)
    {
        Granularity = granularity;
        GroupSize = groupSize;
    }

    /// <summary>How many weights share a scale.</summary>
    public Granularity Granularity { get; init; }

    /// <summary>Inputs per group when <see cref="Granularity"/> is <see cref="Granularity.Group"/>; otherwise 0.</summary>
    public int GroupSize { get; init; }

    /// <inheritdoc/>
    public override int GroupsPerRow(int inFeatures) => Granularity == Granularity.Group ? inFeatures / GroupSize : 1;

    /// <inheritdoc/>
    public override int ScalesPerRow(int inFeatures) => GroupsPerRow(inFeatures);

    /// <summary>Stored scales of a matrix: 1 (tensor), out (channel) or out * in / groupSize.</summary>
    public long ScaleCount(int outFeatures, int inFeatures) =>
        Granularity == Granularity.Tensor ? 1 : (long)outFeatures * GroupsPerRow(inFeatures);

    /// <inheritdoc/>
    public override bool Divides(int inFeatures) => Granularity != Granularity.Group || (GroupSize > 0 && inFeatures % GroupSize == 0);

    /// <inheritdoc/>
    public override bool SharesScalesBetweenRows => Granularity == Granularity.Tensor;

    /// <summary>
    /// Codes, and for every group a scale and, when asymmetric, a zero point of the code's width, as compressed-tensors packs them: rows of codes and
    /// columns of zero points fill whole words of 32 bits; the zero point of a whole matrix is a byte.
    /// </summary>
    /// <inheritdoc/>
    public override long StoredBits(int outFeatures, int inFeatures, ScaleType scaleType)
    {
        int scaleBits = scaleType == ScaleType.Float32 ? 32 : 16;
        long codes = outFeatures * Words(inFeatures), scales = ScaleCount(outFeatures, inFeatures) * scaleBits;
        long zeros = Symmetric ? 0 : Granularity == Granularity.Tensor ? 8 : GroupsPerRow(inFeatures) * Words(outFeatures);
        return codes + scales + zeros;

        long Words(int count) => (((long)count * Bits) + 31) / 32 * 32;
    }

    /// <summary>A short name such as <c>w3 asymmetric channel</c> or <c>w4 symmetric g64</c>.</summary>
    public override string ToString()
    {
        string share = Granularity switch { Granularity.Tensor => "tensor", Granularity.Channel => "channel", _ => $"g{GroupSize}" };
        return $"w{Bits} {(Symmetric ? "symmetric" : "asymmetric")} {share}";
    }
}
