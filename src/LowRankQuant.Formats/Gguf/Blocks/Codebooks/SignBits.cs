using System.Numerics;

namespace LowRankQuant.Formats.Gguf.Blocks.Codebooks;

/// <summary>Eight signs in seven bits: the number of minus signs is even, so the last follows from the others.</summary>
internal static class SignBits
{
    /// <summary>All eight, from the lowest seven bits of a number.</summary>
    public static int Expand(int bits) => (bits & 127) | ((BitOperations.PopCount((uint)bits & 127) & 1) << 7);
}
