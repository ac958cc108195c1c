using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>
/// Reads and checks a safetensors header. Stricter than the reference reader where the text of the format is: no duplicate names, no white space
/// before the header.
/// </summary>
/// <remarks>
/// | bytes | what |
/// | --- | --- |
/// | 8 | header length N, little-endian, at most 100,000,000 |
/// | N | JSON object, begins with an opening brace, may end in spaces |
/// | rest | data, covered by the tensors without hole or overlap |
/// Source: huggingface/safetensors, README.md (Format).
/// </remarks>
internal sealed class SafetensorsHeader
{
    public const long MaxLength = 100_000_000;

    private readonly string _file;

    private SafetensorsHeader(string file) => _file = file;

    public Dictionary<string, TensorEntry> Tensors { get; } = new(StringComparer.Ordinal);

    public List<string> Names { get; } = [];

    public Dictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    public long DataStart { get; private set; }

    public static SafetensorsHeader Read(MappedFile map)
    {
        SafetensorsHeader header = new(map.Path);
        ReadOnlySpan<byte> head = map.Slice(0, (int)Math.Min(map.Length, 512));
        if (FileKind.Foreign(head) is { } foreign) throw header.Error("foreign", null, foreign);
        if (FileKind.IsGguf(head)) throw header.Error("foreign", null, "is a GGUF file, whatever its name says; give it a name that ends in .gguf.");
        if (map.Length < 8) throw header.Error("truncated", null, $"{map.Length} bytes; a safetensors file begins with 8 bytes of header length.");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(map.Slice(0, 8));
        if (length > MaxLength) throw header.Error("header-too-large", null, $"header of {length} bytes; the format allows {MaxLength}.");
        if ((long)length > map.Length - 8)
            throw header.Error("header-length", null,
                $"header of {length} bytes in a file of {map.Length}; the file is cut or not a safetensors file.");
        header.DataStart = 8 + (long)length;
        ReadOnlySpan<byte> json = map.Slice(8, (int)length);
        if (!Utf8.IsValid(json)) throw header.Error("header-encoding", null, "the header is not valid UTF-8.");
        if (json.IsEmpty || json[0] != '{') throw header.Error("header-json", null, "the header does not begin with '{'.");
        try
        {
            header.Parse(json);
        }
        // InvalidOperationException: an escaped lone surrogate in a string.
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointFormatException("header-json", map.Path, null, $"the header is {JsonSyntax.ProblemOf(json) ?? "not a JSON object."}", e);
        }
        header.CheckTiling(map.Length - header.DataStart);
        return header;
    }

    private void Parse(ReadOnlySpan<byte> json)
    {
        // A first pass makes "not JSON" win over any other complaint, so that a cut header is reported as such.
        Utf8JsonReader reader = new(json);
        while (reader.Read())
        {
        }
        reader = new Utf8JsonReader(json);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == "__metadata__") ReadMetadata(ref reader);
            else ReadEntry(ref reader, name);
        }
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (Metadata.Count > 0) throw Error("duplicate-name", "__metadata__", "the key occurs twice.");
        if (reader.TokenType != JsonTokenType.StartObject) throw Error("header-schema", "__metadata__", "must be an object of strings.");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String) throw Error("header-schema", "__metadata__", $"the value of '{key}' is not a string.");
            if (!Metadata.TryAdd(key, reader.GetString()!)) throw Error("duplicate-name", key, "the metadata key occurs twice.");
        }
    }

    private void ReadEntry(ref Utf8JsonReader reader, string name)
    {
        if (Tensors.ContainsKey(name)) throw Error("duplicate-name", name, "the tensor is listed twice.");
        if (reader.TokenType != JsonTokenType.StartObject) throw Error("header-schema", name, "the entry is not an object.");
        string? typeName = null;
        List<ulong>? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("dtype"u8))
            {
                if (typeName is not null) throw Error("header-schema", name, "'dtype' occurs twice.");
                reader.Read();
                if (reader.TokenType != JsonTokenType.String) throw Error("header-schema", name, "'dtype' is not a string.");
                typeName = reader.GetString()!;
            }
            else if (reader.ValueTextEquals("shape"u8))
            {
                if (shape is not null) throw Error("header-schema", name, "'shape' occurs twice.");
                shape = ReadNumbers(ref reader, name, "shape");
            }
            else if (reader.ValueTextEquals("data_offsets"u8))
            {
                if (offsets is not null) throw Error("header-schema", name, "'data_offsets' occurs twice.");
                offsets = ReadNumbers(ref reader, name, "data_offsets");
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }
        if (typeName is null || shape is null || offsets is null)
            throw Error("header-schema", name, "an entry needs 'dtype', 'shape' and 'data_offsets'.");
        if (offsets.Count != 2) throw Error("header-schema", name, $"'data_offsets' has {offsets.Count} numbers instead of 2.");
        Names.Add(name);
        Tensors.Add(name, MakeEntry(name, typeName, shape, offsets[0], offsets[1]));
    }

    private TensorEntry MakeEntry(string name, string typeName, List<ulong> shape, ulong begin, ulong end)
    {
        if (!SafetensorsTypes.TryParse(typeName, out SafetensorsType type))
        {
            string known = string.Join(" ", Enum.GetValues<SafetensorsType>().Select(t => t.HeaderName()));
            throw Error("unknown-dtype", name, $"dtype '{(typeName.Length > 32 ? typeName[..32] : typeName)}' is not read; these are: {known}.");
        }
        ulong elements = 1;
        foreach (ulong dimension in shape)
        {
            UInt128 product = (UInt128)elements * dimension;
            if (product > long.MaxValue || dimension > long.MaxValue)
                throw Error("shape-overflow", name, "the number of elements does not fit 63 bits.");
            elements = (ulong)product;
        }
        UInt128 bytes = (UInt128)elements * (uint)type.Size();
        if (bytes > long.MaxValue) throw Error("shape-overflow", name, "the number of bytes does not fit 63 bits.");
        if (end < begin || end > long.MaxValue) throw Error("offset-range", name, $"data_offsets [{begin}, {end}] are not a range.");
        if (end - begin != (ulong)bytes)
            throw Error("size-mismatch", name,
                $"{elements} elements of {typeName} take {bytes} bytes, data_offsets [{begin}, {end}] hold {end - begin}.");
        long[] dimensions = new long[shape.Count];
        for (int i = 0; i < dimensions.Length; i++) dimensions[i] = (long)shape[i];
        return new TensorEntry(name, type, dimensions, (long)begin, (long)end);
    }

    private List<ulong> ReadNumbers(ref Utf8JsonReader reader, string name, string field)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray) throw Error("header-schema", name, $"'{field}' is not an array.");
        List<ulong> numbers = [];
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number) throw Error("header-schema", name, $"'{field}' holds something else than numbers.");
            // The reader would take 2.0 or 2e0 for a number; the format knows plain digits only.
            ulong value = 0;
            foreach (byte digit in reader.ValueSpan)
            {
                if (digit is < (byte)'0' or > (byte)'9' || value > (ulong.MaxValue - (ulong)(digit - '0')) / 10)
                    throw Error("bad-number", name, $"'{field}' holds a number that is not an unsigned integer of at most 64 bits.");
                value = (value * 10) + (ulong)(digit - '0');
            }
            numbers.Add(value);
        }
        return numbers;
    }

    private void CheckTiling(long dataLength)
    {
        List<TensorEntry> sorted = [.. Tensors.Values];
        sorted.Sort(static (a, b) => a.Begin != b.Begin ? a.Begin.CompareTo(b.Begin) : a.End.CompareTo(b.End));
        long position = 0;
        foreach (TensorEntry entry in sorted)
        {
            if (entry.Begin > position) throw Error("hole", entry.Name, $"begins at {entry.Begin}, the data before it ends at {position}.");
            if (entry.Begin < position) throw Error("overlap", entry.Name, $"begins at {entry.Begin}, inside a tensor that ends at {position}.");
            position = entry.End;
            if (position > dataLength)
                throw Error("truncated-data", entry.Name, $"ends at {position}, the file holds {dataLength} bytes of data; download it again.");
        }
        if (position < dataLength) throw Error("trailing-data", null, $"{dataLength - position} bytes after the last tensor belong to no tensor.");
    }

    private CheckpointFormatException Error(string kind, string? item, string message) => new(kind, _file, item, message);
}
