namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>A block type whose codes lie on an integer grid, so that its fields can be written and read as they are.</summary>
internal interface IGgufGridBlock : IGgufBlock
{
    /// <summary>Packs one block; every bit of <paramref name="block"/> is written.</summary>
    static abstract void Encode(BlockContent content, Span<byte> block);

    /// <summary>Takes the fields of one block apart: the inverse of <see cref="Encode"/>.</summary>
    /// <param name="block">The block.</param>
    /// <param name="codes">Receives a code an element, in the form of <see cref="BlockContent.Codes"/>.</param>
    /// <param name="subScales">K types: receives what <see cref="BlockContent.SubScales"/> holds; empty otherwise.</param>
    /// <param name="subMinima">K types with minima: receives what <see cref="BlockContent.SubMinima"/> holds; empty otherwise.</param>
    /// <returns>Bits of d, and of m or dmin (0 where the type has none).</returns>
    static abstract (ushort Scale, ushort Minimum) Unpack(ReadOnlySpan<byte> block, Span<byte> codes, Span<byte> subScales, Span<byte> subMinima);
}
