using System.Runtime.InteropServices;
using System.Security.Cryptography;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Tests.Formats;

/// <summary>Blocks of random bytes with finite scales, the same in every run. There are enough for every run of every codebook to occur.</summary>
internal static class GgufBlockSamples
{
    /// <summary>A multiple of the blocks that rows of <see cref="Columns"/> elements have.</summary>
    public const int Blocks = 1008;

    /// <summary>Types that are read and not written.</summary>
    public static readonly string[] ReadOnlyTypes =
    [
        "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0",
    ];

    /// <summary>A row that does not divide by 256, or, for blocks of 256, one that does.</summary>
    public static int Columns(GgmlType type) => type.Block().Elements == 256 ? 768 : 1152;

    /// <summary>The blocks.</summary>
    public static byte[] Random(GgmlType type)
    {
        int size = type.Block().Bytes;
        byte[] blocks = new byte[Blocks * size];
        var random = SeededRandom.Derive(21, (ulong)type);
        for (int i = 0; i < blocks.Length; i++) blocks[i] = (byte)random.NextInt32(256);
        // Every exponent there is.
        for (int block = 0; type == GgmlType.MXFP4 && block < Blocks; block++) blocks[block * size] = (byte)block;
        foreach (int half in Halves(type))
        {
            for (int block = 0; block < Blocks; block++) blocks[(block * size) + half + 1] &= 0xBF;
        }
        return blocks;
    }

    /// <summary>SHA-256 of the bits of floats.</summary>
    public static string Hash(ReadOnlySpan<float> values) => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values)));

    // Where the halves of a block lie. Without its highest exponent bit a half is below 2. IQ1_M keeps the high nibble of its half in its last byte.
    private static int[] Halves(GgmlType type) => type switch
    {
        GgmlType.MXFP4 or GgmlType.NVFP4 => [],
        GgmlType.IQ1_M => [54],
        GgmlType.TQ1_0 => [52],
        GgmlType.TQ2_0 => [64],
        GgmlType.Q2_K => [80, 82],
        GgmlType.Q3_K => [108],
        GgmlType.Q6_K => [208],
        GgmlType.Q4_1 or GgmlType.Q5_1 or GgmlType.Q4_K or GgmlType.Q5_K => [0, 2],
        _ => [0],
    };
}
