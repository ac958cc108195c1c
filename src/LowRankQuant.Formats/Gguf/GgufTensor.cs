namespace LowRankQuant.Formats.Gguf;

/// <summary>One entry of a GGUF tensor list.</summary>
/// <param name="Name">Name, 1 to 63 bytes of UTF-8.</param>
/// <param name="Type">Storage type.</param>
/// <param name="Shape">Shape, row-major ([outFeatures, inFeatures] for a linear weight): the file's dimensions in reverse. Do not change the
/// array.</param>
/// <param name="Offset">First byte, relative to the data section of the file that holds it.</param>
/// <param name="ByteLength">Bytes.</param>
public sealed record GgufTensor(string Name, GgmlType Type, long[] Shape, long Offset, long ByteLength)
{
    /// <summary>Elements.</summary>
    public long ElementCount
    {
        get
        {
            (int elements, int bytes) = Type.Block();
            return ByteLength / bytes * elements;
        }
    }
}
