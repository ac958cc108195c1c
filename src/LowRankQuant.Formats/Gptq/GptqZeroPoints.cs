using LowRankQuant.Formats.Bits;

namespace LowRankQuant.Formats.Gptq;

/// <summary>How a GPTQ layout writes a zero point z into its field.</summary>
public enum GptqZeroPoints
{
    /// <summary>z itself: <c>gptq_v2</c>, and AutoRound's own packing.</summary>
    AsTheyAre,

    /// <summary>z - 1 in every field (v1). z = 0 has no field of its own: writers differ in what they make of it.</summary>
    MinusOne,

    /// <summary>
    /// z - 1 as gptqmodel computes it. For 2, 4 and 8 bits one is subtracted from every field of the whole word, so that z = 0 borrows from the next
    /// field, and adding the same constant to the word gives every z back; for 3 bits every field is taken modulo 8.
    /// </summary>
    MinusOneByGptqModel,
}

/// <summary>Packing of the zero points of GPTQ layouts: one bit stream per group along the outputs, [groups, ceil(out b / 32)].</summary>
public static class GptqZeroPointPacking
{
    /// <summary>Packs zero points.</summary>
    /// <param name="zeros">True zero points [groups, out].</param>
    /// <param name="groups">Rows.</param>
    /// <param name="outFeatures">Columns.</param>
    /// <param name="bits">Width of a field.</param>
    /// <param name="form">What a field holds.</param>
    /// <returns>[groups, ceil(out b / 32)].</returns>
    /// <exception cref="ArgumentException">A zero point of 0 for <see cref="GptqZeroPoints.MinusOne"/>, which cannot say it.</exception>
    public static uint[] Pack(ReadOnlySpan<byte> zeros, int groups, int outFeatures, int bits, GptqZeroPoints form)
    {
        byte[] fields = zeros.ToArray();
        bool byWord = form == GptqZeroPoints.MinusOneByGptqModel && 32 % bits == 0;
        if (form == GptqZeroPoints.MinusOne && zeros.IndexOf((byte)0) is >= 0 and var zero)
            throw new ArgumentException($"Zero point {zero} is 0, which v1 cannot say; write v2.", nameof(zeros));
        if (form != GptqZeroPoints.AsTheyAre && !byWord)
        {
            for (int i = 0; i < fields.Length; i++) fields[i]--;
        }
        var words = new uint[groups * DenseBitPacker.WordsPerRow(outFeatures, bits)];
        DenseBitPacker.Pack(fields, groups, outFeatures, bits, words);
        if (byWord) Add(words, bits, -1);
        return words;
    }

    /// <summary>Unpacks zero points.</summary>
    /// <param name="words">[groups, ceil(out b / 32)]; overwritten for <see cref="GptqZeroPoints.MinusOneByGptqModel"/>.</param>
    /// <param name="groups">Rows.</param>
    /// <param name="outFeatures">Columns.</param>
    /// <param name="bits">Width of a field.</param>
    /// <param name="form">What a field holds.</param>
    /// <returns>
    /// True zero points [groups, out]; null when a field of <see cref="GptqZeroPoints.MinusOne"/> is all ones, which stands for 0 in one writer, for
    /// 2^bits in another and for a spoilt word in a third.
    /// </returns>
    public static byte[]? Unpack(uint[] words, int groups, int outFeatures, int bits, GptqZeroPoints form)
    {
        bool byWord = form == GptqZeroPoints.MinusOneByGptqModel && 32 % bits == 0;
        if (byWord) Add(words, bits, 1);
        var zeros = new byte[groups * outFeatures];
        DenseBitPacker.Unpack(words, groups, outFeatures, bits, zeros);
        if (form == GptqZeroPoints.AsTheyAre || byWord) return zeros;
        byte most = (byte)((1 << bits) - 1);
        if (form == GptqZeroPoints.MinusOne && zeros.AsSpan().Contains(most)) return null;
        for (int i = 0; i < zeros.Length; i++) zeros[i] = (byte)((zeros[i] + 1) & most);
        return zeros;
    }

    // Adds or subtracts one in every field of a word: 0x11111111 for 4 bits. Borrows and carries run through the word, as they do in the library.
    private static void Add(Span<uint> words, int bits, int sign)
    {
        uint ones = uint.MaxValue / ((1u << bits) - 1);
        for (int i = 0; i < words.Length; i++) words[i] = sign > 0 ? words[i] + ones : words[i] - ones;
    }
}
