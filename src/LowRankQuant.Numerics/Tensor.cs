using System.Diagnostics;

namespace LowRankQuant.Numerics;

/// <summary>A dense row-major array of 32-bit floats. Half types are storage formats of files, never of tensors.</summary>
[DebuggerDisplay("Tensor [{ShapeText}]")]
public sealed class Tensor : IDisposable
{
    private readonly int[] _shape;
    private readonly bool _owns;

    /// <summary>Wraps all of <paramref name="storage"/> and owns it.</summary>
    public Tensor(Storage storage, params ReadOnlySpan<int> shape)
        : this(storage, 0, shape, owns: true)
    {
    }

    private Tensor(Storage storage, long offset, ReadOnlySpan<int> shape, bool owns)
    {
        Count = CountOf(shape);
        if (offset < 0 || offset + Count > storage.Length) throw new ArgumentException($"A tensor of {Count} floats does not fit its storage of {storage.Length}.", nameof(shape));
        Storage = storage;
        Offset = offset;
        _shape = shape.ToArray();
        _owns = owns;
    }

    /// <summary>The memory, perhaps shared with other tensors.</summary>
    public Storage Storage { get; }

    /// <summary>First element within the storage.</summary>
    public long Offset { get; }

    /// <summary>Where the tensor lives.</summary>
    public Device Device => Storage.Device;

    /// <summary>Sizes, slowest first.</summary>
    public ReadOnlySpan<int> Shape => _shape;

    /// <summary>Number of elements.</summary>
    public long Count { get; }

    /// <summary>Size of the last dimension.</summary>
    public int Columns => _shape[^1];

    /// <summary>Product of all dimensions but the last.</summary>
    public int Rows => _shape[^1] == 0 ? 0 : checked((int)(Count / _shape[^1]));

    /// <summary>Whether the processor can reach the elements where they are.</summary>
    public unsafe bool IsOnHost => Storage.HostPointer != null;

    /// <summary>The elements, when the processor can reach them.</summary>
    /// <exception cref="InvalidOperationException">The device's memory is not addressable by the processor.</exception>
    public unsafe Span<float> Span => new(Pointer, checked((int)Count));

    /// <summary>Address of the first element, when the processor can reach it.</summary>
    public unsafe float* Pointer
    {
        get
        {
            float* start = Storage.HostPointer;
            if (start == null) throw new InvalidOperationException($"Memory of '{Device.Name}' cannot be addressed by the processor; copy it first.");
            return start + Offset;
        }
    }

    private string ShapeText => string.Join(" x ", _shape);

    /// <summary>Product of a shape's sizes.</summary>
    /// <exception cref="ArgumentException">A size is negative or the shape is empty.</exception>
    public static long CountOf(ReadOnlySpan<int> shape)
    {
        if (shape.IsEmpty) throw new ArgumentException("A tensor has at least one dimension.", nameof(shape));
        long count = 1;
        foreach (int size in shape)
        {
            if (size < 0) throw new ArgumentException($"A dimension of {size}.", nameof(shape));
            count = checked(count * size);
        }
        return count;
    }

    /// <summary>The same elements in another shape; shares memory and does not own it.</summary>
    public Tensor View(params ReadOnlySpan<int> shape)
    {
        if (CountOf(shape) != Count) throw new ArgumentException($"[{string.Join(", ", shape.ToArray())}] has not the {Count} elements of [{ShapeText}].", nameof(shape));
        return new Tensor(Storage, Offset, shape, owns: false);
    }

    /// <summary>Part of the elements in a given shape, starting at element <paramref name="start"/>; shares memory and does not own it.</summary>
    public Tensor Slice(long start, params ReadOnlySpan<int> shape)
    {
        if (start < 0 || start + CountOf(shape) > Count) throw new ArgumentOutOfRangeException(nameof(start), start, $"The slice leaves [{ShapeText}].");
        return new Tensor(Storage, Offset + start, shape, owns: false);
    }

    /// <summary>Rows <paramref name="start"/> to start + count of the tensor seen as a matrix [Rows, Columns]; shares memory.</summary>
    public Tensor RowRange(int start, int count) => Slice((long)start * Columns, count, Columns);

    /// <summary>Copies all elements from <paramref name="values"/>.</summary>
    public void CopyFrom(ReadOnlySpan<float> values)
    {
        if (values.Length != Count) throw new ArgumentException($"{values.Length} values for [{ShapeText}].", nameof(values));
        Device.Kernels.Upload(values, this);
    }

    /// <summary>Copies all elements into a new array.</summary>
    public float[] ToArray()
    {
        var values = new float[Count];
        Device.Kernels.Download(this, values);
        return values;
    }

    /// <summary>Gives the memory back to the device when this tensor owns it; a view does nothing.</summary>
    public void Dispose()
    {
        if (_owns) Storage.Dispose();
    }

    /// <inheritdoc/>
    public override string ToString() => $"[{ShapeText}]";
}
