using System.Runtime.InteropServices;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gguf;

/// <summary>Takes the bytes of one tensor of a GGUF file, in order, and refuses more or fewer than were declared.</summary>
public sealed class GgufTensorSink
{
    private const int ElementsPerPart = 1 << 16; // a multiple of every block
    private readonly Stream _stream;
    private readonly PendingGgufTensor _tensor;
    private readonly long _length;
    private byte[]? _part;
    private long _written;

    internal GgufTensorSink(Stream stream, PendingGgufTensor tensor)
    {
        _stream = stream;
        _tensor = tensor;
        _length = tensor.ByteLength;
    }

    /// <summary>Whether <see cref="WriteSingles"/> can round floats to a type: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1.</summary>
    public static bool TakesSingles(GgmlType type) =>
        type is GgmlType.F32 or GgmlType.F16 or GgmlType.BF16 || ReferenceRounding.For(type) is not null;

    /// <summary>Appends raw bytes.</summary>
    /// <exception cref="InvalidOperationException">More bytes than the declared type and shape hold.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > _length - _written)
            throw new InvalidOperationException($"Tensor '{_tensor.Name}' is declared with {_length} bytes; {_written + bytes.Length} were written.");
        _stream.Write(bytes);
        _written += bytes.Length;
    }

    /// <summary>Appends floats: as they are, rounded to halves (to nearest, ties to even), or rounded to blocks as ggml's reference code does.</summary>
    /// <param name="values">Whole blocks of finite values.</param>
    /// <exception cref="InvalidOperationException">The declared type takes no floats, or there are too many elements or part of a block.</exception>
    public void WriteSingles(ReadOnlySpan<float> values)
    {
        if (!TakesSingles(_tensor.Type))
            throw new InvalidOperationException($"Tensor '{_tensor.Name}' is declared as {_tensor.Type}, to which floats are not rounded here.");
        (int elements, int bytes) = _tensor.Type.Block();
        if (values.Length % elements != 0)
            throw new InvalidOperationException($"Tensor '{_tensor.Name}' takes floats in blocks of {elements}; {values.Length} were given.");
        _part ??= new byte[ElementsPerPart / elements * bytes];
        while (!values.IsEmpty)
        {
            int count = Math.Min(values.Length, ElementsPerPart);
            Span<byte> part = _part.AsSpan(0, count / elements * bytes);
            switch (_tensor.Type)
            {
                case GgmlType.F32:
                    MemoryMarshal.AsBytes(values[..count]).CopyTo(part);
                    break;
                case GgmlType.F16:
                    HalfConversion.SingleToFloat16(values[..count], MemoryMarshal.Cast<byte, ushort>(part));
                    break;
                case GgmlType.BF16:
                    HalfConversion.SingleToBFloat16(values[..count], MemoryMarshal.Cast<byte, ushort>(part));
                    break;
                default:
                    ReferenceRounding.Round(_tensor.Type, values[..count], part);
                    break;
            }
            Write(part);
            values = values[count..];
        }
    }

    internal void Complete()
    {
        if (_written != _length)
            throw new InvalidOperationException($"Tensor '{_tensor.Name}' is declared with {_length} bytes; only {_written} were written.");
    }
}
