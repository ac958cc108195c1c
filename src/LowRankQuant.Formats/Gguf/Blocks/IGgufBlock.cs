namespace LowRankQuant.Formats.Gguf.Blocks;

/// <summary>
/// One GGUF block type: a fixed number of elements in a fixed number of bytes. Values equal ggml's own dequantization bit for bit, so the float
/// operations keep its order and are never fused.
/// </summary>
internal interface IGgufBlock
{
    /// <summary>Elements of a block.</summary>
    static abstract int Elements { get; }

    /// <summary>Bytes of a block.</summary>
    static abstract int Bytes { get; }

    /// <summary>Decodes one block.</summary>
    static abstract void Decode(ReadOnlySpan<byte> block, Span<float> values);
}
