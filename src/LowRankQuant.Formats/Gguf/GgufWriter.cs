using System.Text;

namespace LowRankQuant.Formats.Gguf;

/// <summary>
/// Writes GGUF files of version 3 one tensor at a time: the header is known from the declarations, so the memory needed is that of one callback. A
/// file appears under its name only when it is complete and flushed to disk.
/// </summary>
/// <remarks>The layout stands at <c>GgufHeader</c>. Tensors lie in list order, each padded to the alignment, the last one too; without tensors nothing is
/// padded.</remarks>
public static class GgufWriter
{
    private const string AlignmentKey = "general.alignment";
    private const uint DefaultAlignment = 32;
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Writes one file.</summary>
    /// <param name="path">Destination; an existing file is replaced when the new one is complete.</param>
    /// <param name="metadata">Keys and values in the order of the file; <c>general.alignment</c>, where given, is obeyed.</param>
    /// <param name="tensors">Tensors in the order of the file.</param>
    /// <param name="cancellationToken">Checked before every tensor.</param>
    /// <returns>Bytes of the file.</returns>
    /// <exception cref="ArgumentException">A key or name is empty or given twice, or a tensor or value breaks a rule of the format.</exception>
    /// <exception cref="InvalidOperationException">A callback wrote more or fewer bytes than declared.</exception>
    /// <exception cref="IOException">The disk is too small, or the path cannot be written; nothing is left behind.</exception>
    public static long Write(
        string path,
        IReadOnlyList<KeyValuePair<string, GgufValue>> metadata,
        IReadOnlyList<PendingGgufTensor> tensors,
        CancellationToken cancellationToken = default)
    {
        long alignment = Alignment(metadata);
        byte[] header = BuildHeader(metadata, tensors, alignment);
        long length = tensors.Aggregate((long)header.Length, (sum, tensor) => checked(sum + AlignUp(tensor.ByteLength, alignment)));
        DiskSpace.Require(path, length);
        AtomicFile.Write(path, stream =>
        {
            stream.Write(header);
            byte[] padding = new byte[alignment];
            foreach (PendingGgufTensor tensor in tensors)
            {
                cancellationToken.ThrowIfCancellationRequested();
                GgufTensorSink sink = new(stream, tensor);
                tensor.Write(sink);
                sink.Complete();
                stream.Write(padding.AsSpan(0, (int)(AlignUp(tensor.ByteLength, alignment) - tensor.ByteLength)));
            }
        });
        return length;
    }

    private static byte[] BuildHeader(
        IReadOnlyList<KeyValuePair<string, GgufValue>> metadata, IReadOnlyList<PendingGgufTensor> tensors, long alignment)
    {
        const int Version = 3;
        using MemoryStream buffer = new();
        using BinaryWriter writer = new(buffer); // little-endian
        writer.Write("GGUF"u8);
        writer.Write(Version);
        writer.Write((long)tensors.Count);
        writer.Write((long)metadata.Count);
        HashSet<string> keys = new(StringComparer.Ordinal), names = new(StringComparer.Ordinal);
        foreach ((string key, GgufValue value) in metadata)
        {
            if (key.Length == 0 || !keys.Add(key)) throw new ArgumentException($"The metadata key '{key}' is empty or given twice.", nameof(metadata));
            WriteString(writer, key);
            WriteValue(writer, value);
        }
        long offset = 0;
        foreach (PendingGgufTensor tensor in tensors)
        {
            tensor.Check();
            if (!names.Add(tensor.Name)) throw new ArgumentException($"The tensor name '{tensor.Name}' is given twice.", nameof(tensors));
            WriteString(writer, tensor.Name);
            writer.Write(tensor.Shape.Length);
            for (int i = tensor.Shape.Length - 1; i >= 0; i--) writer.Write(tensor.Shape[i]); // the contiguous dimension first
            writer.Write((int)tensor.Type);
            writer.Write(offset);
            offset = checked(offset + AlignUp(tensor.ByteLength, alignment));
        }
        writer.Flush();
        if (tensors.Count > 0) writer.Write(new byte[AlignUp(buffer.Length, alignment) - buffer.Length]);
        return buffer.ToArray();
    }

    private static void WriteValue(BinaryWriter writer, GgufValue value)
    {
        writer.Write((int)value.Type);
        if (value.Type != GgufValueType.Array)
        {
            WriteScalar(writer, value.Value);
            return;
        }
        var values = (Array)value.Value;
        writer.Write((int)value.ElementType);
        writer.Write((long)values.Length);
        switch (values)
        {
            case string[] strings:
                foreach (string text in strings) WriteString(writer, text);
                break;
            case bool[] booleans:
                foreach (bool flag in booleans) writer.Write(flag);
                break;
            default:
                writer.Write(BytesOf(values));
                break;
        }
    }

    private static void WriteScalar(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case string text: WriteString(writer, text); break;
            case bool flag: writer.Write(flag); break;
            case byte number: writer.Write(number); break;
            case sbyte number: writer.Write(number); break;
            case ushort number: writer.Write(number); break;
            case short number: writer.Write(number); break;
            case uint number: writer.Write(number); break;
            case int number: writer.Write(number); break;
            case ulong number: writer.Write(number); break;
            case long number: writer.Write(number); break;
            case float number: writer.Write(number); break;
            case double number: writer.Write(number); break;
            default: throw new ArgumentException($"{value.GetType().Name} is no type of GGUF metadata.", nameof(value));
        }
    }

    private static byte[] BytesOf(Array numbers)
    {
        byte[] bytes = new byte[Buffer.ByteLength(numbers)];
        Buffer.BlockCopy(numbers, 0, bytes, 0, bytes.Length);
        return bytes;
    }

    private static void WriteString(BinaryWriter writer, string text)
    {
        byte[] bytes = StrictUtf8.GetBytes(text);
        writer.Write((long)bytes.Length);
        writer.Write(bytes);
    }

    private static long Alignment(IReadOnlyList<KeyValuePair<string, GgufValue>> metadata)
    {
        GgufValue? value = metadata.FirstOrDefault(entry => entry.Key == AlignmentKey).Value;
        if (value is null) return DefaultAlignment;
        return value.Value is uint alignment && System.Numerics.BitOperations.IsPow2(alignment)
            ? alignment
            : throw new ArgumentException($"{AlignmentKey} is {value.Value}; it must be a power of two of type UInt32.", nameof(metadata));
    }

    private static long AlignUp(long value, long alignment) => (value + alignment - 1) & -alignment;
}
