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
/// <param name="Bits">Width of a code, 2 to 8.</param>
/// <param name="Symmetric">Whether the zero point is fixed at the middle and not stored.</param>
/// <param name="Granularity">How many weights share a scale.</param>
/// <param name="GroupSize">Inputs per group when <paramref name="Granularity"/> is <see cref="Granularity.Group"/>; otherwise 0.</param>
public sealed record UniformGrid(int Bits, bool Symmetric, Granularity Granularity, int GroupSize = 0)
{
    /// <summary>The smallest supported code width.</summary>
    public const int MinBits = 2;

    /// <summary>The largest supported code width.</summary>
    public const int MaxBits = 8;

    /// <summary>The largest code, 2^bits - 1.</summary>
    public int MaxCode => (1 << Bits) - 1;

    /// <summary>The zero point of a symmetric grid, 2^(bits-1).</summary>
    public int SymmetricZero => 1 << (Bits - 1);

    /// <summary>Scales per row of a matrix with <paramref name="inFeatures"/> columns.</summary>
    public int GroupsPerRow(int inFeatures) => Granularity == Granularity.Group ? inFeatures / GroupSize : 1;

    /// <summary>Stored scales of a matrix: 1 (tensor), out (channel) or out * in / groupSize.</summary>
    public long ScaleCount(int outFeatures, int inFeatures) =>
        Granularity == Granularity.Tensor ? 1 : (long)outFeatures * GroupsPerRow(inFeatures);

    /// <summary>Whether the grid fits a row of <paramref name="inFeatures"/> inputs.</summary>
    public bool Divides(int inFeatures) => Granularity != Granularity.Group || (GroupSize > 0 && inFeatures % GroupSize == 0);

    /// <summary>A short name such as <c>w3 asymmetric channel</c> or <c>w4 symmetric g64</c>.</summary>
    public override string ToString()
    {
        string share = Granularity switch { Granularity.Tensor => "tensor", Granularity.Channel => "channel", _ => $"g{GroupSize}" };
        return $"w{Bits} {(Symmetric ? "symmetric" : "asymmetric")} {share}";
    }
}
