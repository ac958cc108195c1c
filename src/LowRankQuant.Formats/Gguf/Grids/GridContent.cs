using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>What decides where a uniform grid fits: the reach of its codes and whether its scales are halves. c = u - z.</summary>
internal sealed record GridContent
{
    // Significant bits of an IEEE half.
    private const int HalfBits = 11;

    public required int InFeatures { get; init; }

    /// <summary>Inputs that share a scale.</summary>
    public required int GroupSize { get; init; }

    public required bool Symmetric { get; init; }

    /// <summary>The smallest c.</summary>
    public required int MinDifference { get; init; }

    /// <summary>The largest c.</summary>
    public required int MaxDifference { get; init; }

    /// <summary>The largest u.</summary>
    public required int MaxCode { get; init; }

    /// <summary>The largest z.</summary>
    public required int MaxZero { get; init; }

    /// <summary>Whether every s is a half.</summary>
    public required bool ScalesAreHalves { get; init; }

    /// <summary>Whether every s z is a half.</summary>
    public required bool MinimaAreHalves { get; init; }

    /// <summary>The worst that a grid can hold.</summary>
    /// <param name="grid">The grid.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="scaleType">Stored type of the scales.</param>
    /// <param name="scaleBits">Significant bits to which scales are rounded.</param>
    public static GridContent Of(UniformGrid grid, int inFeatures, ScaleType scaleType, int scaleBits) => new()
    {
        InFeatures = inFeatures,
        GroupSize = GroupSizeOf(grid, inFeatures),
        Symmetric = grid.Symmetric,
        MinDifference = grid.Symmetric ? -grid.SymmetricZero : -grid.MaxCode,
        MaxDifference = grid.Symmetric ? grid.MaxCode - grid.SymmetricZero : grid.MaxCode,
        MaxCode = grid.MaxCode,
        MaxZero = grid.Symmetric ? grid.SymmetricZero : grid.MaxCode,
        ScalesAreHalves = scaleType == ScaleType.Float16,
        // A symmetric zero point is a power of two.
        MinimaAreHalves = grid.Symmetric || scaleBits + grid.Bits <= HalfBits,
    };

    /// <summary>What a weight really holds.</summary>
    public static GridContent Of(UniformWeight weight)
    {
        int groupSize = weight.EffectiveGroupSize, groups = weight.Codes.Length / groupSize;
        int min = int.MaxValue, max = int.MinValue, maxCode = 0, maxZero = 0;
        bool halves = true, minima = true;
        for (int group = 0; group < groups; group++)
        {
            (byte low, byte high) = Range(weight.Codes.AsSpan(group * groupSize, groupSize));
            (float scale, int zero) = ScaleAndZero(weight, group);
            min = Math.Min(min, low - zero);
            max = Math.Max(max, high - zero);
            maxCode = Math.Max(maxCode, high);
            maxZero = Math.Max(maxZero, zero);
            halves &= IsHalf(scale);
            minima &= IsHalf(scale * zero);
        }
        return new GridContent
        {
            InFeatures = weight.InFeatures,
            GroupSize = groupSize,
            Symmetric = weight.Grid.Symmetric,
            MinDifference = min,
            MaxDifference = max,
            MaxCode = maxCode,
            MaxZero = maxZero,
            ScalesAreHalves = halves,
            MinimaAreHalves = minima,
        };
    }

    /// <summary>What both hold together.</summary>
    /// <param name="other">Of as many columns.</param>
    public GridContent And(GridContent other) => new()
    {
        InFeatures = InFeatures,
        GroupSize = (int)System.Numerics.BigInteger.GreatestCommonDivisor(GroupSize, other.GroupSize),
        Symmetric = Symmetric && other.Symmetric,
        MinDifference = Math.Min(MinDifference, other.MinDifference),
        MaxDifference = Math.Max(MaxDifference, other.MaxDifference),
        MaxCode = Math.Max(MaxCode, other.MaxCode),
        MaxZero = Math.Max(MaxZero, other.MaxZero),
        ScalesAreHalves = ScalesAreHalves && other.ScalesAreHalves,
        MinimaAreHalves = MinimaAreHalves && other.MinimaAreHalves,
    };

    /// <summary>Scale and zero point of a group, counted over all rows.</summary>
    public static (float Scale, int Zero) ScaleAndZero(UniformWeight weight, int group)
    {
        int index = weight.Grid.Granularity == Granularity.Tensor ? 0 : group;
        return (weight.Scales[index], weight.ZeroPoints is null ? weight.Grid.SymmetricZero : weight.ZeroPoints[index]);
    }

    /// <summary>Whether a value is a finite IEEE half.</summary>
    public static bool IsHalf(float value) => Half.IsFinite((Half)value) && (float)(Half)value == value;

    private static int GroupSizeOf(UniformGrid grid, int inFeatures) => grid.Granularity == Granularity.Group ? grid.GroupSize : inFeatures;

    private static (byte Low, byte High) Range(ReadOnlySpan<byte> codes)
    {
        byte low = byte.MaxValue, high = 0;
        foreach (byte code in codes)
        {
            low = Math.Min(low, code);
            high = Math.Max(high, code);
        }
        return (low, high);
    }
}
