namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>Short runs of values that blocks name by number. The runs are chosen by the format and follow from no formula.</summary>
internal sealed class Codebook
{
    private readonly sbyte[] _values;
    private readonly int _length;

    /// <summary>Reads a codebook from text.</summary>
    /// <param name="length">Values of a run, 4 or 8.</param>
    /// <param name="bits">Bits that name a level.</param>
    /// <param name="levels">The values that occur.</param>
    /// <param name="packed">Base64 of one little-endian 16-bit word a run: level numbers, the first value in the lowest bits.</param>
    public Codebook(int length, int bits, ReadOnlySpan<sbyte> levels, string packed)
    {
        byte[] words = Convert.FromBase64String(packed);
        _length = length;
        _values = new sbyte[words.Length / 2 * length];
        for (int i = 0; i < _values.Length; i++)
        {
            int run = i / length, word = words[2 * run] | (words[(2 * run) + 1] << 8);
            _values[i] = levels[(word >> (bits * (i % length))) & ((1 << bits) - 1)];
        }
    }

    /// <summary>One run.</summary>
    public ReadOnlySpan<sbyte> this[int run] => _values.AsSpan(run * _length, _length);

    /// <summary>Writes one run times a scale.</summary>
    /// <param name="run">Number of the run.</param>
    /// <param name="signs">Bit j set: value j is negated.</param>
    /// <param name="scale">The scale.</param>
    /// <param name="values">As many elements as a run has.</param>
    public void Decode(int run, int signs, float scale, Span<float> values)
    {
        ReadOnlySpan<sbyte> from = this[run];
        values = values[..from.Length];
        for (int j = 0; j < from.Length; j++) values[j] = scale * (from[j] * (1 - (2 * ((signs >> j) & 1)))); // no branch: the bits are random
    }
}
