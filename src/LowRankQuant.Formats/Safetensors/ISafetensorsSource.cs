namespace LowRankQuant.Formats.Safetensors;

/// <summary>A safetensors file or a folder of shards: typed entries and raw bytes besides floats.</summary>
public interface ISafetensorsSource : ITensorSource
{
    /// <summary>File or folder, for messages.</summary>
    string Location { get; }

    /// <summary>All tensors by name. Ranges are relative to the file that holds the tensor.</summary>
    IReadOnlyDictionary<string, TensorEntry> Tensors { get; }

    /// <summary>Raw bytes of a tensor, straight from the memory map; valid until the source is disposed.</summary>
    /// <param name="name">Tensor.</param>
    /// <param name="byteOffset">First byte within the tensor.</param>
    /// <param name="length">Number of bytes; slices let tensors beyond 2 GiB be read in parts.</param>
    /// <exception cref="CheckpointFormatException">No such tensor.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The slice leaves the tensor.</exception>
    ReadOnlySpan<byte> GetBytes(string name, long byteOffset, int length);

    /// <summary>Reads consecutive elements without conversion.</summary>
    /// <typeparam name="T">The .NET type of the tensor's type: sbyte for I8, byte for U8 and BOOL, int for I32, ushort for F16/BF16 bits,
    /// ...</typeparam>
    /// <param name="name">Tensor.</param>
    /// <param name="destination">Receives as many elements as it holds.</param>
    /// <param name="elementOffset">First element to read.</param>
    /// <exception cref="CheckpointFormatException">No such tensor, or the tensor has another type (<c>dtype</c>).</exception>
    /// <exception cref="ArgumentOutOfRangeException">The slice leaves the tensor.</exception>
    void Read<T>(string name, Span<T> destination, long elementOffset = 0)
        where T : unmanaged;
}
