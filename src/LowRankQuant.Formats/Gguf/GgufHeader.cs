namespace LowRankQuant.Formats.Gguf;

/// <summary>
/// Reads and checks everything before the data of one GGUF file. Stricter than ggml, which accepts wrapped sizes, empty and non-UTF-8 names and
/// booleans other than 0 and 1.
/// </summary>
/// <remarks>
/// | what | layout |
/// | --- | --- |
/// | head | "GGUF", u32 version (2 or 3), u64 tensors, u64 keys |
/// | key | string (u64 length, bytes), u32 type, value; array = u32 element type, u64 count, elements |
/// | tensor | string name, u32 dimensions (at most 4), u64 each (contiguous one first), u32 type, u64 offset |
/// | data | from the next multiple of general.alignment (default 32); tensors in list order, each aligned, no holes |
/// Source: ggml-org/ggml, docs/gguf.md.
/// </remarks>
internal sealed class GgufHeader
{
    private const uint Magic = 0x46554747; // "GGUF", little-endian
    private const int MaxNameLength = 63; // ggml keeps 64 bytes with the final zero
    private const int MaxAlignment = 1 << 20;

    private readonly GgufCursor _cursor;
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);

    private GgufHeader(GgufCursor cursor) => _cursor = cursor;

    public int Version { get; private set; }

    public Dictionary<string, GgufValue> Metadata { get; } = new(StringComparer.Ordinal);

    public List<GgufTensor> Tensors { get; } = [];

    public long DataStart { get; private set; }

    public static GgufHeader Read(MappedFile map)
    {
        const int Head = 512;
        ReadOnlySpan<byte> start = map.Slice(0, (int)Math.Min(Head, map.Length));
        if (!FileKind.IsGguf(start) && FileKind.Foreign(start) is { } other) throw new CheckpointFormatException("magic", map.Path, null, other);
        GgufHeader header = new(new GgufCursor(map));
        header.Read(map.Length);
        return header;
    }

    private void Read(long fileLength)
    {
        uint magic = _cursor.Number<uint>(null);
        if (magic != Magic) throw _cursor.Error("magic", null, $"begins with 0x{magic:X8}, not with \"GGUF\"; this is another kind of file.");
        uint version = _cursor.Number<uint>(null);
        if ((version & 0xFFFF) == 0 && version != 0) throw _cursor.Error("version", null, "a big-endian GGUF file; convert it to little-endian.");
        if (version is not (2 or 3)) throw _cursor.Error("version", null, $"GGUF version {version}; versions 2 and 3 are read.");
        Version = (int)version;
        ulong tensorCount = _cursor.Number<ulong>(null), keyCount = _cursor.Number<ulong>(null);
        int tensors = _cursor.CheckCount(tensorCount, "tensors", null, 25); // name of one byte, no dimensions
        int keys = _cursor.CheckCount(keyCount, "metadata entries", null, 14); // key of one byte, value of one byte
        for (int i = 0; i < keys; i++) ReadKey();
        long alignment = ReadAlignment();
        for (int i = 0; i < tensors; i++) ReadTensor();
        DataStart = AlignUp(_cursor.Position, alignment);
        CheckOffsets(fileLength, alignment);
    }

    private void ReadKey()
    {
        string key = _cursor.String(null);
        if (key.Length == 0) throw _cursor.Error("key", null, "an empty metadata key.");
        if (Metadata.ContainsKey(key)) throw _cursor.Error("duplicate-name", key, "the metadata key occurs twice.");
        Metadata.Add(key, _cursor.Value(key));
    }

    private long ReadAlignment()
    {
        const string Key = "general.alignment";
        if (!Metadata.TryGetValue(Key, out GgufValue? value)) return 32;
        if (value.Value is not uint alignment) throw _cursor.Error("alignment", Key, $"is {value.Type}; it must be UInt32.");
        if (alignment is 0 or > MaxAlignment || (alignment & (alignment - 1)) != 0)
            throw _cursor.Error("alignment", Key, $"is {alignment}; it must be a power of two of at most {MaxAlignment}.");
        return alignment;
    }

    private void ReadTensor()
    {
        string name = _cursor.String(null, MaxNameLength);
        if (name.Length == 0) throw _cursor.Error("name", null, "a tensor without a name.");
        if (name.Contains('\0', StringComparison.Ordinal)) throw _cursor.Error("name", name, "a zero byte inside a tensor name.");
        if (!_names.Add(name)) throw _cursor.Error("duplicate-name", name, "the tensor is listed twice.");
        uint dimensionCount = _cursor.Number<uint>(name);
        if (dimensionCount > 4) throw _cursor.Error("dims", name, $"{dimensionCount} dimensions; at most 4 are allowed.");
        long[] shape = new long[dimensionCount];
        UInt128 elements = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            ulong dimension = _cursor.Number<ulong>(name);
            if (dimension > long.MaxValue) throw _cursor.Error("dims", name, $"dimension {dimension} is negative or beyond 63 bits.");
            shape[^(i + 1)] = (long)dimension;
            elements *= dimension;
            if (elements > long.MaxValue) throw _cursor.Error("dims-overflow", name, "the number of elements does not fit 63 bits.");
        }
        uint typeNumber = _cursor.Number<uint>(name);
        GgmlType type = (GgmlType)typeNumber;
        if (typeNumber > int.MaxValue || !GgmlTypes.TryGetBlock(type, out (int Elements, int Bytes) block))
            throw _cursor.Error("tensor-type", name,
                $"ggml type {typeNumber} is unknown or was removed; convert the model again with a current converter.");
        long row = shape.Length == 0 ? 1 : shape[^1];
        if (row % block.Elements != 0)
            throw _cursor.Error("block-size", name, $"rows of {row} elements do not divide into {type} blocks of {block.Elements}.");
        UInt128 bytes = elements / (uint)block.Elements * (uint)block.Bytes;
        if (bytes > long.MaxValue) throw _cursor.Error("dims-overflow", name, "the number of bytes does not fit 63 bits.");
        ulong offset = _cursor.Number<ulong>(name);
        if (offset > long.MaxValue) throw _cursor.Error("offset", name, $"offset {offset} is beyond any file.");
        Tensors.Add(new GgufTensor(name, type, shape, (long)offset, (long)bytes));
    }

    private void CheckOffsets(long fileLength, long alignment)
    {
        long expected = 0, available = fileLength - DataStart;
        foreach (GgufTensor tensor in Tensors)
        {
            if (tensor.Offset != expected)
            {
                throw _cursor.Error(
                    "offset",
                    tensor.Name,
                    $"offset {tensor.Offset} where {expected} follows from the tensors before it (list order, aligned to {alignment}, no holes).");
            }
            if (tensor.ByteLength > 0 && tensor.ByteLength > available - expected)
            {
                throw _cursor.Error(
                    "truncated-data",
                    tensor.Name,
                    $"needs {tensor.ByteLength} bytes at {DataStart + expected}, the file has {fileLength}; download it again.");
            }
            expected = AlignUp(expected + tensor.ByteLength, alignment);
        }
    }

    private static long AlignUp(long value, long alignment) => (value + alignment - 1) & -alignment;
}
