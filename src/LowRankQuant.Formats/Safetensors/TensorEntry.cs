namespace LowRankQuant.Formats.Safetensors;

/// <summary>One tensor of a safetensors header.</summary>
/// <param name="Name">Name.</param>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Shape, row-major; empty for a scalar. Do not change the array.</param>
/// <param name="Begin">First byte, relative to the data section.</param>
/// <param name="End">First byte after the tensor, relative to the data section.</param>
public sealed record TensorEntry(string Name, SafetensorsType Type, long[] Shape, long Begin, long End)
{
    /// <summary>Bytes of the tensor.</summary>
    public long ByteLength => End - Begin;

    /// <summary>Elements of the tensor.</summary>
    public long ElementCount => ByteLength / Type.Size();

    /// <summary>Type and shape, such as <c>BF16 [64, 32]</c>.</summary>
    public string Describe() => $"{Type.HeaderName()} [{string.Join(", ", Shape)}]";
}
