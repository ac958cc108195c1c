using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;

namespace LowRankQuant.Formats.Gguf;

/// <summary>Walks through the metadata of a GGUF file; every step is checked against the end of the file before anything is read or
/// allocated.</summary>
internal sealed class GgufCursor(MappedFile map)
{
    public long Position { get; private set; }

    public long Remaining => map.Length - Position;

    public T Number<T>(string? item)
        where T : unmanaged
    {
        int size = Unsafe.SizeOf<T>();
        if (Remaining < size) throw Error("truncated", item, $"the file ends at byte {map.Length}, inside a number of {size} bytes; download it again.");
        T value = MemoryMarshal.Read<T>(map.Slice(Position, size));
        Position += size;
        return value;
    }

    public string String(string? item, int maxLength = int.MaxValue / 2)
    {
        ulong length = Number<ulong>(item);
        if (maxLength < 1024 && length > (ulong)maxLength)
            throw Error("name-length", item, $"a name of {length} bytes; at most {maxLength} are allowed.");
        if (length > (ulong)Remaining || length > (ulong)maxLength)
            throw Error("string-length", item, $"a string of {length} bytes where {Remaining} are left.");
        ReadOnlySpan<byte> bytes = map.Slice(Position, (int)length);
        if (!Utf8.IsValid(bytes)) throw Error("string-encoding", item, "the string is not valid UTF-8.");
        Position += (long)length;
        return Encoding.UTF8.GetString(bytes);
    }

    /// <summary>A number of things that take at least <paramref name="minimumBytes"/> each.</summary>
    public int Count(string what, string? item, int minimumBytes) => CheckCount(Number<ulong>(item), what, item, minimumBytes);

    public int CheckCount(ulong count, string what, string? item, int minimumBytes)
    {
        if (count > (ulong)(Remaining / minimumBytes) || count > (ulong)Array.MaxLength)
            throw Error("count", item, $"{count} {what} cannot fit the {Remaining} bytes that are left.");
        return (int)count;
    }

    public GgufValue Value(string key)
    {
        GgufValueType type = ValueType(key);
        if (type != GgufValueType.Array) return new GgufValue(type, type, Scalar(type, key));
        GgufValueType elementType = ValueType(key);
        object values = elementType switch
        {
            GgufValueType.UInt8 => Numbers<byte>(key),
            GgufValueType.Int8 => Numbers<sbyte>(key),
            GgufValueType.UInt16 => Numbers<ushort>(key),
            GgufValueType.Int16 => Numbers<short>(key),
            GgufValueType.UInt32 => Numbers<uint>(key),
            GgufValueType.Int32 => Numbers<int>(key),
            GgufValueType.Float32 => Numbers<float>(key),
            GgufValueType.UInt64 => Numbers<ulong>(key),
            GgufValueType.Int64 => Numbers<long>(key),
            GgufValueType.Float64 => Numbers<double>(key),
            GgufValueType.Bool => Booleans(key),
            GgufValueType.String => Strings(key),
            _ => throw Error("value-type", key, "an array of arrays, which no engine reads."),
        };
        return new GgufValue(type, elementType, values);
    }

    public CheckpointFormatException Error(string kind, string? item, string message) => new(kind, map.Path, item, message);

    private GgufValueType ValueType(string key)
    {
        uint type = Number<uint>(key);
        return type <= (uint)GgufValueType.Float64 ? (GgufValueType)type : throw Error("value-type", key, $"value type {type}; types are 0 to 12.");
    }

    private object Scalar(GgufValueType type, string key) => type switch
    {
        GgufValueType.UInt8 => Number<byte>(key),
        GgufValueType.Int8 => Number<sbyte>(key),
        GgufValueType.UInt16 => Number<ushort>(key),
        GgufValueType.Int16 => Number<short>(key),
        GgufValueType.UInt32 => Number<uint>(key),
        GgufValueType.Int32 => Number<int>(key),
        GgufValueType.Float32 => Number<float>(key),
        GgufValueType.UInt64 => Number<ulong>(key),
        GgufValueType.Int64 => Number<long>(key),
        GgufValueType.Float64 => Number<double>(key),
        GgufValueType.Bool => Boolean(Number<byte>(key), key),
        _ => String(key),
    };

    private bool Boolean(byte value, string key) =>
        value <= 1 ? value == 1 : throw Error("bool", key, $"a bool with the value {value}; only 0 and 1 are allowed.");

    private T[] Numbers<T>(string key)
        where T : unmanaged, INumber<T>
    {
        T[] values = new T[Count("numbers", key, Unsafe.SizeOf<T>())];
        const int Part = 1 << 24;
        for (int done = 0; done < values.Length; done += Part)
        {
            Span<byte> part = MemoryMarshal.AsBytes(values.AsSpan(done, Math.Min(Part, values.Length - done)));
            map.Slice(Position, part.Length).CopyTo(part);
            Position += part.Length;
        }
        return values;
    }

    private bool[] Booleans(string key)
    {
        bool[] values = new bool[Count("booleans", key, 1)];
        for (int i = 0; i < values.Length; i++) values[i] = Boolean(Number<byte>(key), key);
        return values;
    }

    private string[] Strings(string key)
    {
        string[] values = new string[Count("strings", key, sizeof(ulong))];
        for (int i = 0; i < values.Length; i++) values[i] = String(key);
        return values;
    }
}
