namespace LowRankQuant.Numerics;

/// <summary>
/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the only source of random numbers in the library. The same seed gives the same numbers on
/// every machine; independent streams come from <see cref="Derive"/>.
/// </summary>
public sealed class SeededRandom
{
    private ulong _state;
    private double _spare = double.NaN;

    /// <summary>Starts the generator at <paramref name="seed"/>.</summary>
    public SeededRandom(ulong seed) => _state = seed;

    /// <summary>A generator whose stream depends on <paramref name="seed"/> and every one of <paramref name="path"/>, and on nothing else.</summary>
    public static SeededRandom Derive(ulong seed, params ReadOnlySpan<ulong> path)
    {
        ulong state = seed;
        foreach (ulong step in path) state = new SeededRandom(state ^ (step * 0xD1B54A32D192ED03)).NextUInt64();
        return new SeededRandom(state);
    }

    /// <summary>The next 64 random bits.</summary>
    public ulong NextUInt64()
    {
        _state += 0x9E3779B97F4A7C15;
        ulong z = _state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Uniform in [0, 1), 53 bits.</summary>
    public double NextUniform() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform over 0..<paramref name="count"/> - 1, as the remainder of 64 bits (the bias is below 2^-32 for any int).</summary>
    public int NextInt32(int count) => (int)(NextUInt64() % (ulong)count);

    /// <summary>Standard normal (Marsaglia's polar method).</summary>
    public double NextGaussian()
    {
        if (!double.IsNaN(_spare))
        {
            double kept = _spare;
            _spare = double.NaN;
            return kept;
        }
        while (true)
        {
            double u = (2 * NextUniform()) - 1, v = (2 * NextUniform()) - 1, s = (u * u) + (v * v);
            if (s is >= 1 or 0) continue;
            double factor = Math.Sqrt(-2 * Math.Log(s) / s);
            _spare = v * factor;
            return u * factor;
        }
    }

    /// <summary>A random permutation of 0..<paramref name="count"/> - 1 (Fisher and Yates, from the end).</summary>
    public int[] Permutation(int count)
    {
        var order = new int[count];
        for (int i = 0; i < count; i++) order[i] = i;
        for (int i = count - 1; i >= 1; i--)
        {
            int j = NextInt32(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }
        return order;
    }
}
