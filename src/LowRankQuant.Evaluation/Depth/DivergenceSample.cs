using System.Runtime.InteropServices;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>
/// Divergences of all positions, for percentiles: those of numpy and llama.cpp, which lie between two neighbours in rank by their distance. Exact, in single precision, up to
/// <see cref="MostKept"/> positions (64 MiB); beyond, counts of values that share sign, exponent and the 11 highest bits of the mantissa, so that a percentile is within 1/2,000 of itself.
/// A value that is not a number counts as infinite; one below 0, which rounding makes, as 0.
/// </summary>
/// <param name="mostKept">Positions up to which values are kept.</param>
internal sealed class DivergenceSample(int mostKept = DivergenceSample.MostKept)
{
    /// <summary>Positions up to which percentiles are exact.</summary>
    public const int MostKept = 1 << 24;

    // Of a float that is not negative: 8 bits of exponent and 11 of 23 of the mantissa.
    private const int DroppedBits = 12;

    private readonly long[] _bins = new long[DivergenceDistribution.Edges.Count + 1];
    private List<float>? _values = [];
    private long[]? _counts;
    private float _largest;

    /// <summary>Positions.</summary>
    public long Count { get; private set; }

    /// <summary>Whether percentiles are exact.</summary>
    public bool IsExact => _values is not null;

    /// <summary>Adds a position.</summary>
    public void Add(double divergence)
    {
        double size = double.IsNaN(divergence) ? double.PositiveInfinity : Math.Max(0, divergence);
        float value = (float)size;
        Count++;
        _largest = Math.Max(_largest, value);
        _bins[Bin(size)]++;
        if (_values is not null && _values.Count == mostKept) Fold();
        if (_values is not null) _values.Add(value);
        else _counts![Key(value)]++;
    }

    /// <summary>The distribution; at least one position.</summary>
    public DivergenceDistribution Result()
    {
        if (_values is not null) CollectionsMarshal.AsSpan(_values).Sort();
        return new DivergenceDistribution(Count, Percentile(0.5), Percentile(0.9), Percentile(0.99), Percentile(0.999), _largest, [.. _bins]);
    }

    private static int Bin(double value)
    {
        int bin = 0;
        while (bin < DivergenceDistribution.Edges.Count && value >= DivergenceDistribution.Edges[bin]) bin++;
        return bin;
    }

    private static uint Key(float value) => BitConverter.SingleToUInt32Bits(value) >> DroppedBits;

    private void Fold()
    {
        _counts = new long[Key(float.PositiveInfinity) + 1];
        foreach (float value in _values!) _counts[Key(value)]++;
        _values = null;
    }

    private double Percentile(double share)
    {
        double rank = share * (Count - 1);
        long below = (long)rank;
        double low = AtRank(below), part = rank - below;
        if (part == 0) return low;
        double high = AtRank(below + 1);
        // Infinite ones have no distance.
        return low == high ? low : low + (part * (high - low));
    }

    private double AtRank(long rank)
    {
        if (_values is not null) return _values[(int)rank];
        long seen = 0;
        uint key = 0;
        while ((seen += _counts![key]) <= rank) key++;
        // The middle of its values; none is larger than the largest.
        return Math.Min(_largest, BitConverter.UInt32BitsToSingle((key << DroppedBits) | (1u << (DroppedBits - 1))));
    }
}
