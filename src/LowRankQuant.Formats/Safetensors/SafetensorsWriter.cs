using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>
/// Writes safetensors files one tensor at a time: the header is known from the declarations, so the memory needed is that of one callback. A file
/// appears under its name only when it is complete (<see cref="AtomicFile"/>).
/// </summary>
public static class SafetensorsWriter
{
    /// <summary>The metadata that Hugging Face readers ask for.</summary>
    public static IReadOnlyDictionary<string, string> PyTorchMetadata { get; } = new Dictionary<string, string> { ["format"] = "pt" }.AsReadOnly();

    /// <summary>Writes one file.</summary>
    /// <param name="path">Destination; an existing file is replaced when the new one is complete.</param>
    /// <param name="tensors">Tensors in the order of the file; see <see cref="PendingTensor.ReferenceOrder"/>.</param>
    /// <param name="metadata">Strings of <c>__metadata__</c>; null writes <see cref="PyTorchMetadata"/>, an empty dictionary writes none.</param>
    /// <param name="cancellationToken">Checked before every tensor.</param>
    /// <exception cref="ArgumentException">Duplicate or reserved names, or a header beyond the format's limit.</exception>
    /// <exception cref="InvalidOperationException">A callback wrote more or fewer bytes than declared.</exception>
    /// <exception cref="IOException">The disk is full or the path cannot be written; nothing is left behind.</exception>
    public static void Write(
        string path,
        IReadOnlyList<PendingTensor> tensors,
        IReadOnlyDictionary<string, string>? metadata = null,
        CancellationToken cancellationToken = default)
    {
        byte[] header = BuildHeader(tensors, metadata ?? PyTorchMetadata);
        AtomicFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
            stream.Write(length);
            stream.Write(header);
            foreach (PendingTensor tensor in tensors)
            {
                cancellationToken.ThrowIfCancellationRequested();
                TensorSink sink = new(stream, tensor);
                tensor.Write(sink);
                sink.Complete();
            }
        });
    }

    /// <summary>Bytes of the file that <see cref="Write"/> makes of these tensors.</summary>
    public static long FileBytes(IReadOnlyList<PendingTensor> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        sizeof(ulong) + BuildHeader(tensors, metadata ?? PyTorchMetadata).Length + tensors.Sum(tensor => tensor.ByteLength);

    private static byte[] BuildHeader(IReadOnlyList<PendingTensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        ArrayBufferWriter<byte> buffer = new();
        // The relaxed encoder leaves '+' and non-ASCII letters of names as they are, as the reference library does.
        using (Utf8JsonWriter json = new(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata.Count > 0)
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            HashSet<string> names = new(StringComparer.Ordinal) { "__metadata__" };
            long offset = 0;
            foreach (PendingTensor tensor in tensors)
            {
                if (!names.Add(tensor.Name))
                    throw new ArgumentException($"The tensor name '{tensor.Name}' is reserved or given twice.", nameof(tensors));
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.Type.HeaderName());
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Shape) json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                offset = checked(offset + tensor.ByteLength);
                json.WriteNumberValue(offset);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        int padding = (8 - (buffer.WrittenCount % 8)) % 8; // the data begins at a multiple of 8
        buffer.Write("       "u8[..padding]);
        if (buffer.WrittenCount > SafetensorsHeader.MaxLength)
            throw new ArgumentException($"A header of {buffer.WrittenCount} bytes; the format allows {SafetensorsHeader.MaxLength}.",
                nameof(tensors));
        return buffer.WrittenSpan.ToArray();
    }
}
