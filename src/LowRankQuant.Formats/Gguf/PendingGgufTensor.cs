using System.Text;

namespace LowRankQuant.Formats.Gguf;

/// <summary>A tensor to be written to a GGUF file: what the header says of it, and a callback that produces its bytes when its turn comes.</summary>
/// <param name="Name">Name, at most 63 bytes in UTF-8.</param>
/// <param name="Type">Element or block type.</param>
/// <param name="Shape">Shape, row-major, at most four dimensions: a linear weight is [outFeatures, inFeatures]. Do not change the array.</param>
/// <param name="Write">Writes exactly the declared bytes, in any number of pieces. Called once, on the writing thread.</param>
public sealed record PendingGgufTensor(string Name, GgmlType Type, long[] Shape, Action<GgufTensorSink> Write)
{
    /// <summary>Elements.</summary>
    public long ElementCount => Shape.Aggregate(1L, (product, size) => checked(product * size));

    /// <summary>Declared bytes.</summary>
    public long ByteLength => checked(ElementCount / Type.Block().Elements * Type.Block().Bytes);

    /// <summary>A tensor of 32-bit floats in memory, stored as any type that <see cref="GgufTensorSink.WriteSingles"/> takes.</summary>
    public static PendingGgufTensor FromSingles(string name, GgmlType type, long[] shape, float[] values) =>
        new(name, type, shape, sink => sink.WriteSingles(values));

    /// <summary>A tensor copied unchanged from another file, in small pieces.</summary>
    /// <param name="source">File; must stay open until the tensor is written.</param>
    /// <param name="name">Tensor in the source; its name is kept.</param>
    /// <exception cref="CheckpointFormatException">The source has no such tensor.</exception>
    public static PendingGgufTensor Copy(GgufFile source, string name)
    {
        if (!source.Tensors.TryGetValue(name, out GgufTensor? tensor))
            throw new CheckpointFormatException("missing-tensor", source.Location, name, "the file has no such tensor.");
        return new PendingGgufTensor(name, tensor.Type, [.. tensor.Shape], sink =>
        {
            const int Part = 1 << 22;
            for (long offset = 0; offset < tensor.ByteLength; offset += Part)
                sink.Write(source.GetBytes(name, offset, (int)Math.Min(Part, tensor.ByteLength - offset)));
        });
    }

    /// <summary>Checks what every reader insists on.</summary>
    /// <exception cref="ArgumentException">The name is empty or too long, there are too many dimensions, or rows do not divide into blocks.</exception>
    internal void Check()
    {
        const int MaxNameLength = 63, MaxDimensions = 4;
        if (Name.Length == 0 || Encoding.UTF8.GetByteCount(Name) > MaxNameLength)
            throw new ArgumentException($"The tensor name '{Name}' must have 1 to {MaxNameLength} bytes.");
        if (Shape.Length > MaxDimensions || Shape.Any(size => size < 0))
            throw new ArgumentException($"Tensor '{Name}' has the shape [{string.Join(", ", Shape)}]; at most {MaxDimensions} dimensions, none negative, are allowed.");
        int elements = Type.Block().Elements;
        if (elements > 1 && (Shape.Length == 0 || Shape[^1] % elements != 0))
            throw new ArgumentException($"Rows of tensor '{Name}', [{string.Join(", ", Shape)}], do not divide into {Type} blocks of {elements}.");
    }
}
