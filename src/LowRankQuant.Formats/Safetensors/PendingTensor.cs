namespace LowRankQuant.Formats.Safetensors;

/// <summary>A tensor to be written: what the header says of it, and a callback that produces its bytes when its turn comes.</summary>
/// <param name="Name">Name; not <c>__metadata__</c>.</param>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Shape, row-major; empty for a scalar. Do not change the array.</param>
/// <param name="Write">Writes exactly the declared bytes, in any number of pieces. Called once, on the writing thread.</param>
public sealed record PendingTensor(string Name, SafetensorsType Type, long[] Shape, Action<TensorSink> Write)
{
    /// <summary>Declared bytes.</summary>
    /// <exception cref="ArgumentException">A dimension is negative or the size does not fit 63 bits.</exception>
    public long ByteLength
    {
        get
        {
            UInt128 bytes = (uint)Type.Size();
            foreach (long dimension in Shape)
            {
                if (dimension < 0) throw new ArgumentException($"Tensor '{Name}' has a negative dimension {dimension}.");
                bytes *= (ulong)dimension;
                if (bytes > long.MaxValue) throw new ArgumentException($"Tensor '{Name}' does not fit 63 bits.");
            }
            return (long)bytes;
        }
    }

    /// <summary>A tensor whose bytes are already in memory.</summary>
    public static PendingTensor FromBytes(string name, SafetensorsType type, long[] shape, byte[] bytes) =>
        new(name, type, shape, sink => sink.Write(bytes));

    /// <summary>A tensor of 32-bit floats in memory, stored as F32, F16 or BF16 (rounded to nearest, ties to even).</summary>
    public static PendingTensor FromSingles(string name, SafetensorsType type, long[] shape, float[] values) =>
        new(name, type, shape, sink => sink.WriteSingles(values));

    /// <summary>A tensor copied unchanged from another checkpoint, in small pieces.</summary>
    /// <param name="source">Checkpoint; must stay open until the tensor is written.</param>
    /// <param name="name">Tensor in the source.</param>
    /// <param name="newName">Name to write; null keeps it.</param>
    /// <exception cref="CheckpointFormatException">The source has no such tensor.</exception>
    public static PendingTensor Copy(ISafetensorsSource source, string name, string? newName = null)
    {
        if (!source.Tensors.TryGetValue(name, out TensorEntry? entry))
            throw new CheckpointFormatException("missing-tensor", source.Location, name, "the checkpoint has no such tensor.");
        return new PendingTensor(newName ?? name, entry.Type, entry.Shape, sink =>
        {
            const int Part = 1 << 22;
            for (long offset = 0; offset < entry.ByteLength; offset += Part)
                sink.Write(source.GetBytes(name, offset, (int)Math.Min(Part, entry.ByteLength - offset)));
        });
    }

    /// <summary>The order of the reference library: by element type, the largest first, then by name (ordinal).</summary>
    public static List<PendingTensor> ReferenceOrder(IEnumerable<PendingTensor> tensors)
    {
        List<PendingTensor> sorted = [.. tensors];
        sorted.Sort(static (a, b) => a.Type != b.Type ? b.Type.CompareTo(a.Type) : CompareUtf8(a.Name, b.Name));
        return sorted;
    }

    // The reference library compares UTF-8 bytes; UTF-16 code units differ from that only where surrogates meet U+E000..U+FFFF.
    private static int CompareUtf8(string a, string b)
    {
        int length = Math.Min(a.Length, b.Length);
        for (int i = 0; i < length; i++)
        {
            if (a[i] == b[i]) continue;
            bool surrogateA = char.IsSurrogate(a[i]), surrogateB = char.IsSurrogate(b[i]);
            return surrogateA == surrogateB ? a[i].CompareTo(b[i]) : surrogateA.CompareTo(surrogateB);
        }
        return a.Length.CompareTo(b.Length);
    }
}
