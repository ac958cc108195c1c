namespace LowRankQuant.Formats.Awq;

/// <summary>
/// The packing of AWQ's GEMM layout: eight 4-bit codes in a 32-bit word along the outputs, nibble k (bits 4k..4k+3) of word c holding output
/// 8c + [0, 2, 4, 6, 1, 3, 5, 7][k].
/// </summary>
/// <remarks>Source: casper-hansen/AutoAWQ, awq/utils/packing_utils.py.</remarks>
internal static class AwqOrder
{
    /// <summary>Codes in a word.</summary>
    public const int PerWord = 8;

    private static ReadOnlySpan<byte> Outputs => [0, 2, 4, 6, 1, 3, 5, 7];

    /// <summary>Packs a matrix whose columns are outputs.</summary>
    /// <param name="codes">4-bit codes, row-major, a whole number of words a row.</param>
    public static uint[] Pack(ReadOnlySpan<byte> codes)
    {
        var words = new uint[codes.Length / PerWord];
        for (int i = 0; i < words.Length; i++)
        {
            ReadOnlySpan<byte> eight = codes.Slice(i * PerWord, PerWord);
            uint word = 0;
            for (int k = 0; k < PerWord; k++) word |= (uint)(eight[Outputs[k]] & 15) << (4 * k);
            words[i] = word;
        }
        return words;
    }

    /// <summary>The inverse of <see cref="Pack"/>.</summary>
    public static byte[] Unpack(ReadOnlySpan<uint> words)
    {
        var codes = new byte[words.Length * PerWord];
        for (int i = 0; i < words.Length; i++)
        {
            Span<byte> eight = codes.AsSpan(i * PerWord, PerWord);
            for (int k = 0; k < PerWord; k++) eight[Outputs[k]] = (byte)((words[i] >> (4 * k)) & 15);
        }
        return codes;
    }
}
