using LowRankQuant.Formats.Gguf.Blocks;
using LowRankQuant.Formats.Gguf.Blocks.Codebooks;

namespace LowRankQuant.Formats.Gguf;

/// <summary>Decodes any run of elements of a tensor that is stored in blocks.</summary>
internal static class BlockReader
{
    private const int BlocksPerSlice = 1 << 14;

    public delegate void Reader(MappedFile file, long start, long elementOffset, Span<float> destination);

    /// <summary>The reader of a block type, or null when its blocks are not decoded here.</summary>
    public static Reader? For(GgmlType type) => type switch
    {
        GgmlType.Q4_0 => Read<Q4_0>,
        GgmlType.Q4_1 => Read<Q4_1>,
        GgmlType.Q5_0 => Read<Q5_0>,
        GgmlType.Q5_1 => Read<Q5_1>,
        GgmlType.Q8_0 => Read<Q8_0>,
        GgmlType.Q2_0 => Read<Q2_0>,
        GgmlType.Q2_K => Read<Q2_K>,
        GgmlType.Q3_K => Read<Q3_K>,
        GgmlType.Q4_K => Read<Q4_K>,
        GgmlType.Q5_K => Read<Q5_K>,
        GgmlType.Q6_K => Read<Q6_K>,
        GgmlType.IQ1_S => Read<IQ1_S>,
        GgmlType.IQ1_M => Read<IQ1_M>,
        GgmlType.IQ2_XXS => Read<IQ2_XXS>,
        GgmlType.IQ2_XS => Read<IQ2_XS>,
        GgmlType.IQ2_S => Read<IQ2_S>,
        GgmlType.IQ3_XXS => Read<IQ3_XXS>,
        GgmlType.IQ3_S => Read<IQ3_S>,
        GgmlType.IQ4_NL => Read<IQ4_NL>,
        GgmlType.IQ4_XS => Read<IQ4_XS>,
        GgmlType.TQ1_0 => Read<TQ1_0>,
        GgmlType.TQ2_0 => Read<TQ2_0>,
        GgmlType.MXFP4 => Read<MXFP4>,
        GgmlType.NVFP4 => Read<NVFP4>,
        GgmlType.Q1_0 => Read<Q1_0>,
        _ => null,
    };

    /// <summary>Decodes elements [elementOffset, elementOffset + destination.Length) of the tensor whose blocks begin at <paramref
    /// name="start"/>.</summary>
    public static void Read<T>(MappedFile file, long start, long elementOffset, Span<float> destination)
        where T : IGgufBlock
    {
        Span<float> scratch = stackalloc float[T.Elements];
        long block = elementOffset / T.Elements;
        int skip = (int)(elementOffset % T.Elements);
        while (!destination.IsEmpty)
        {
            int whole = skip == 0 ? Math.Min(destination.Length / T.Elements, BlocksPerSlice) : 0;
            if (whole > 0)
            {
                ReadOnlySpan<byte> bytes = file.Slice(start + (block * T.Bytes), whole * T.Bytes);
                for (int i = 0; i < whole; i++) T.Decode(bytes.Slice(i * T.Bytes, T.Bytes), destination.Slice(i * T.Elements, T.Elements));
                destination = destination[(whole * T.Elements)..];
                block += whole;
                continue;
            }
            // A slice that begins or ends inside a block.
            T.Decode(file.Slice(start + (block * T.Bytes), T.Bytes), scratch);
            int count = Math.Min(T.Elements - skip, destination.Length);
            scratch.Slice(skip, count).CopyTo(destination);
            destination = destination[count..];
            block++;
            skip = 0;
        }
    }
}
