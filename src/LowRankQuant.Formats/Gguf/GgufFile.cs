using System.Globalization;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Formats.Gguf;

/// <summary>
/// A memory-mapped GGUF file of version 2 or 3; a file split into parts (<c>name-00001-of-0000N.gguf</c>) is opened by its first part and read as
/// one. Headers are checked whole on opening; tensors are decoded on demand, in slices.
/// </summary>
public sealed class GgufFile : ITensorSource
{
    private readonly List<(MappedFile Map, GgufHeader Header)> _parts = [];
    private readonly Dictionary<string, (MappedFile Map, long Start, GgufTensor Tensor)> _owners = new(StringComparer.Ordinal);
    private readonly Dictionary<string, GgufTensor> _tensors = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];

    private GgufFile(MappedFile first)
    {
        Location = first.Path;
        try
        {
            AddPart(first);
            Metadata = new GgufMetadata(Location, _parts[0].Header.Metadata);
            AddOtherParts();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Path of the file, or of the first part.</summary>
    public string Location { get; }

    /// <summary>Version of the format: 2 or 3.</summary>
    public int Version => _parts[0].Header.Version;

    /// <summary>Paths of all parts.</summary>
    public IReadOnlyList<string> Files => [.. _parts.Select(part => part.Map.Path)];

    /// <summary>Metadata of the file, or of the first part.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>All tensors by name.</summary>
    public IReadOnlyDictionary<string, GgufTensor> Tensors => _tensors;

    /// <inheritdoc/>
    public IReadOnlyList<string> Names => _names;

    /// <summary>Opens a file, or all parts of a split file.</summary>
    /// <param name="path">Path of the file or of its first part.</param>
    /// <exception cref="CheckpointFormatException">A file breaks a rule of the format, or the parts do not fit together.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static GgufFile Open(string path) => new(new MappedFile(path));

    /// <summary>Takes over a mapped file.</summary>
    internal static GgufFile Open(MappedFile first) => new(first);

    /// <inheritdoc/>
    public bool Contains(string name) => _tensors.ContainsKey(name);

    /// <inheritdoc/>
    public IReadOnlyList<long> ShapeOf(string name) => Owner(name).Tensor.Shape;

    /// <summary>Asks the system to have a tensor's bytes at hand soon, and returns at once.</summary>
    /// <exception cref="CheckpointFormatException">No such tensor.</exception>
    public void ReadAhead(string name)
    {
        (MappedFile map, long start, GgufTensor tensor) = Owner(name);
        map.ReadAhead(start, tensor.ByteLength);
    }

    /// <summary>Gives pages that were read back to the system.</summary>
    public void ReleasePages()
    {
        foreach ((MappedFile map, _) in _parts) map.ReleasePages();
    }

    /// <summary>Raw bytes of a tensor, straight from the memory map; valid until the file is disposed.</summary>
    /// <param name="name">Tensor.</param>
    /// <param name="byteOffset">First byte within the tensor.</param>
    /// <param name="length">Number of bytes.</param>
    /// <exception cref="CheckpointFormatException">No such tensor.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The slice leaves the tensor.</exception>
    public ReadOnlySpan<byte> GetBytes(string name, long byteOffset, int length)
    {
        (MappedFile map, long start, GgufTensor tensor) = Owner(name);
        if (byteOffset < 0 || length < 0 || byteOffset > tensor.ByteLength - length)
            throw new ArgumentOutOfRangeException(nameof(byteOffset), byteOffset,
                $"{length} bytes from here leave tensor '{name}' of {tensor.ByteLength} bytes.");
        return map.Slice(start + byteOffset, length);
    }

    /// <summary>Reads consecutive elements as 32-bit floats, equal bit for bit to ggml's own dequantization.</summary>
    /// <param name="name">Tensor.</param>
    /// <param name="destination">Receives as many elements as it holds.</param>
    /// <param name="elementOffset">First element, counted row-major; need not be the first of a block.</param>
    /// <exception cref="CheckpointFormatException">No such tensor, or a type that is not decoded (<c>tensor-type</c>).</exception>
    /// <exception cref="ArgumentOutOfRangeException">The slice leaves the tensor.</exception>
    public void ReadSingles(string name, Span<float> destination, long elementOffset = 0)
    {
        (MappedFile map, long start, GgufTensor tensor) = Owner(name);
        if (elementOffset < 0 || elementOffset > tensor.ElementCount - destination.Length)
            throw new ArgumentOutOfRangeException(
                nameof(elementOffset),
                elementOffset,
                $"{destination.Length} elements from here leave tensor '{name}' of {tensor.ElementCount} elements.");
        BlockReader.Reader reader = tensor.Type switch
        {
            GgmlType.F32 => static (file, first, offset, floats) => ReadPlain(file, first, offset, floats, SafetensorsType.F32),
            GgmlType.F16 => static (file, first, offset, floats) => ReadPlain(file, first, offset, floats, SafetensorsType.F16),
            GgmlType.BF16 => static (file, first, offset, floats) => ReadPlain(file, first, offset, floats, SafetensorsType.BF16),
            _ => BlockReader.For(tensor.Type) ?? throw new CheckpointFormatException("tensor-type", map.Path, name, UndecodedMessage(tensor.Type)),
        };
        reader(map, start, elementOffset, destination);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((MappedFile map, _) in _parts) map.Dispose();
    }

    private static string UndecodedMessage(GgmlType type) => type is GgmlType.I8 or GgmlType.I16 or GgmlType.I32 or GgmlType.I64 or GgmlType.F64
        ? $"has type {type}, which is not a weight type."
        : $"has type {type}, in which engines keep activations for a moment and no weights; it is not decoded. Use the original checkpoint or another "
            + "file (llama-quantize --allow-requantize converts).";

    private static void ReadPlain(MappedFile file, long start, long offset, Span<float> floats, SafetensorsType type)
    {
        ElementConversion.Converter<float> convert = ElementConversion.ToSingles(type)!;
        int size = type.Size();
        const int Part = 1 << 24;
        for (int done = 0; done < floats.Length; done += Part)
        {
            int count = Math.Min(Part, floats.Length - done);
            convert(file.Slice(start + ((offset + done) * size), count * size), floats.Slice(done, count));
        }
    }

    private (MappedFile Map, long Start, GgufTensor Tensor) Owner(string name) => _owners.TryGetValue(name, out (MappedFile, long, GgufTensor) owner)
        ? owner
        : throw new CheckpointFormatException("missing-tensor", Location, name, "the file has no such tensor.");

    private void AddPart(MappedFile map)
    {
        GgufHeader header;
        try
        {
            header = GgufHeader.Read(map);
        }
        catch
        {
            map.Dispose();
            throw;
        }
        _parts.Add((map, header));
        foreach (GgufTensor tensor in header.Tensors)
        {
            if (!_owners.TryAdd(tensor.Name, (map, header.DataStart + tensor.Offset, tensor)))
                throw new CheckpointFormatException("duplicate-name", map.Path, tensor.Name, "another part of the split file holds this tensor too.");
            _tensors.Add(tensor.Name, tensor);
            _names.Add(tensor.Name);
        }
    }

    // split.count and split.no (from 0) stand in every part, split.tensors.count is the total. Source: llama.cpp, tools/gguf-split.
    private void AddOtherParts()
    {
        const string CountKey = "split.count", NumberKey = "split.no", TotalKey = "split.tensors.count";
        long count = Metadata.FindInt64(CountKey) ?? 1;
        if (count is 0 or 1) return;
        CheckpointFormatException Split(string file, string key, string message) => new("split", file, key, message);
        if (count is < 0 or > 99_999) throw Split(Location, CountKey, $"is {count}; a split file has 1 to 99999 parts.");
        string ending = PartEnding(1, count);
        if (!Location.EndsWith(ending, StringComparison.Ordinal))
            throw Split(Location, CountKey, $"this is part of a file split into {count}; open the first part, whose name ends in {ending}.");
        if (Metadata.FindInt64(NumberKey) is not 0) throw Split(Location, NumberKey, "the first part must have the number 0.");
        string stem = Location[..^ending.Length];
        for (int part = 2; part <= count; part++)
        {
            string path = stem + PartEnding(part, count);
            if (!File.Exists(path))
                throw new CheckpointFormatException("missing-shard", Location, Path.GetFileName(path), "this part of the split file is missing.");
            AddPart(new MappedFile(path, _parts[0].Map.Pages));
            GgufMetadata metadata = new(path, _parts[^1].Header.Metadata);
            if (metadata.FindInt64(CountKey) != count || metadata.FindInt64(NumberKey) != part - 1)
                throw Split(path, NumberKey, $"must be {part - 1} of {count}; the parts are mixed up.");
        }
        if (Metadata.FindInt64(TotalKey) is { } total && total != _names.Count)
            throw Split(Location, TotalKey, $"says {total} tensors, the parts hold {_names.Count}.");
    }

    private static string PartEnding(long part, long count) => string.Create(CultureInfo.InvariantCulture, $"-{part:D5}-of-{count:D5}.gguf");
}
