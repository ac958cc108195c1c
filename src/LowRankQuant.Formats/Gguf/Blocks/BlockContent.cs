namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>The fields of one block before they are packed into bytes: integers as the block stores them and the bits of one or two halves.</summary>
internal readonly ref struct BlockContent
{
    /// <summary>One code an element, in the unsigned form of the block's layout (Q8_0: the byte of the signed code).</summary>
    public ReadOnlySpan<byte> Codes { get; init; }

    /// <summary>Bits of d.</summary>
    public ushort Scale { get; init; }

    /// <summary>Bits of m or dmin; unused by symmetric types.</summary>
    public ushort Minimum { get; init; }

    /// <summary>K types: the integer scale of every sub-block, in its stored form (Q3_K: plus 32, Q6_K: the byte of the signed scale).</summary>
    public ReadOnlySpan<byte> SubScales { get; init; }

    /// <summary>K types with minima: the integer minimum of every sub-block.</summary>
    public ReadOnlySpan<byte> SubMinima { get; init; }
}
