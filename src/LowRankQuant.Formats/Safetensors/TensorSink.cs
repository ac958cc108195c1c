using System.Runtime.InteropServices;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>Takes the bytes of one tensor, in order, and refuses more or fewer than were declared.</summary>
public sealed class TensorSink
{
    private readonly Stream _stream;
    private readonly PendingTensor _tensor;
    private readonly long _length;
    private ushort[]? _halves;
    private long _written;

    internal TensorSink(Stream stream, PendingTensor tensor)
    {
        _stream = stream;
        _tensor = tensor;
        _length = tensor.ByteLength;
    }

    /// <summary>Appends raw bytes.</summary>
    /// <exception cref="InvalidOperationException">More bytes than the declared type and shape hold.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > _length - _written)
            throw new InvalidOperationException($"Tensor '{_tensor.Name}' is declared with {_length} bytes; {_written + bytes.Length} were written.");
        _stream.Write(bytes);
        _written += bytes.Length;
    }

    /// <summary>Appends elements of a plain .NET type as they lie in memory.</summary>
    /// <exception cref="InvalidOperationException">The declared type is another one, or there are too many elements.</exception>
    public void Write<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (!ElementConversion.Holds<T>(_tensor.Type))
            throw new InvalidOperationException($"Tensor '{_tensor.Name}' is declared as {_tensor.Type.HeaderName()}, not {typeof(T).Name}.");
        Write(MemoryMarshal.AsBytes(values));
    }

    /// <summary>Appends floats, rounded to the declared F32, F16 or BF16 (to nearest, ties to even).</summary>
    /// <exception cref="InvalidOperationException">The declared type is another one, or there are too many elements.</exception>
    public void WriteSingles(ReadOnlySpan<float> values)
    {
        if (_tensor.Type == SafetensorsType.F32)
        {
            Write(MemoryMarshal.AsBytes(values));
            return;
        }
        if (_tensor.Type is not (SafetensorsType.F16 or SafetensorsType.BF16))
            throw new InvalidOperationException(
                $"Tensor '{_tensor.Name}' is declared as {_tensor.Type.HeaderName()}; floats go to F32, F16 or BF16.");
        _halves ??= new ushort[Math.Min(values.Length, 1 << 16)];
        if (_halves.Length == 0) _halves = new ushort[1 << 16];
        while (!values.IsEmpty)
        {
            int n = Math.Min(values.Length, _halves.Length);
            Span<ushort> part = _halves.AsSpan(0, n);
            if (_tensor.Type == SafetensorsType.F16) HalfConversion.SingleToFloat16(values[..n], part);
            else HalfConversion.SingleToBFloat16(values[..n], part);
            Write(MemoryMarshal.AsBytes(part));
            values = values[n..];
        }
    }

    internal void Complete()
    {
        if (_written != _length)
            throw new InvalidOperationException($"Tensor '{_tensor.Name}' is declared with {_length} bytes; only {_written} were written.");
    }
}
