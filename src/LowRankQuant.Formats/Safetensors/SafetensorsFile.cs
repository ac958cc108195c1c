using System.Runtime.InteropServices;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>One memory-mapped safetensors file. The header is checked whole when the file is opened; tensor data is read on demand.</summary>
public sealed class SafetensorsFile : ISafetensorsSource
{
    /// <summary>Most bytes of one file, or of files that are read together, that stay in memory.</summary>
    public const long MostResidentBytes = MappedPages.ReadBetweenReleases;

    private readonly MappedFile _map;
    private readonly SafetensorsHeader _header;

    private SafetensorsFile(MappedFile map, SafetensorsHeader header)
    {
        _map = map;
        _header = header;
    }

    /// <inheritdoc/>
    public string Location => _map.Path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _header.Tensors;

    /// <inheritdoc/>
    public IReadOnlyList<string> Names => _header.Names;

    /// <summary>The strings of <c>__metadata__</c>; empty when absent.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Opens a file and checks its header.</summary>
    /// <param name="path">Path of the file.</param>
    /// <exception cref="CheckpointFormatException">The file breaks a rule of the format.</exception>
    /// <exception cref="IOException">The file is missing or cannot be read.</exception>
    public static SafetensorsFile Open(string path) => Open(new MappedFile(path));

    /// <summary>Opens files that are read together; no more of them stays in memory than of one.</summary>
    /// <param name="paths">Paths of the files.</param>
    /// <exception cref="CheckpointFormatException">A file breaks a rule of the format; none stays open.</exception>
    /// <exception cref="IOException">A file is missing or cannot be read; none stays open.</exception>
    public static IReadOnlyList<SafetensorsFile> OpenAll(IEnumerable<string> paths)
    {
        var pages = new MappedPages();
        var files = new List<SafetensorsFile>();
        try
        {
            foreach (string path in paths) files.Add(Open(path, pages));
            return files;
        }
        catch
        {
            foreach (SafetensorsFile file in files) file.Dispose();
            throw;
        }
    }

    /// <summary>Opens a file that is read together with others.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="pages">Of all of them.</param>
    internal static SafetensorsFile Open(string path, MappedPages pages) => Open(new MappedFile(path, pages));

    /// <summary>Takes over a mapped file.</summary>
    internal static SafetensorsFile Open(MappedFile map)
    {
        try
        {
            return new SafetensorsFile(map, SafetensorsHeader.Read(map));
        }
        catch
        {
            map.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Contains(string name) => _header.Tensors.ContainsKey(name);

    /// <inheritdoc/>
    public IReadOnlyList<long> ShapeOf(string name) => Entry(name).Shape;

    /// <inheritdoc/>
    public ReadOnlySpan<byte> GetBytes(string name, long byteOffset, int length)
    {
        TensorEntry entry = Entry(name);
        if (byteOffset < 0 || length < 0 || byteOffset > entry.ByteLength - length)
            throw new ArgumentOutOfRangeException(nameof(byteOffset), byteOffset,
                $"{length} bytes from here leave tensor '{name}' of {entry.ByteLength} bytes.");
        return _map.Slice(_header.DataStart + entry.Begin + byteOffset, length);
    }

    /// <summary>Asks the system to have a tensor's bytes at hand soon, and returns at once.</summary>
    /// <exception cref="CheckpointFormatException">No such tensor.</exception>
    public void ReadAhead(string name) => _map.ReadAhead(_header.DataStart + Entry(name).Begin, Entry(name).ByteLength);

    /// <inheritdoc/>
    public void Read<T>(string name, Span<T> destination, long elementOffset = 0)
        where T : unmanaged
    {
        TensorEntry entry = Entry(name);
        if (!ElementConversion.Holds<T>(entry.Type))
            throw new CheckpointFormatException("dtype", Location, name,
                $"has type {entry.Type.HeaderName()}, which is not read as {typeof(T).Name}.");
        ReadElements(entry, destination.Length, elementOffset, MemoryMarshal.AsBytes(destination), static (bytes, into) => bytes.CopyTo(into));
    }

    /// <inheritdoc/>
    public void ReadSingles(string name, Span<float> destination, long elementOffset = 0)
    {
        TensorEntry entry = Entry(name);
        ElementConversion.Converter<float> converter = ElementConversion.ToSingles(entry.Type) ?? throw new CheckpointFormatException(
            "dtype", Location, name, $"has type {entry.Type.HeaderName()}; only floating point tensors are read as floats.");
        ReadElements(entry, destination.Length, elementOffset, destination, converter);
    }

    /// <inheritdoc/>
    public void Dispose() => _map.Dispose();

    private TensorEntry Entry(string name) => _header.Tensors.TryGetValue(name, out TensorEntry? entry)
        ? entry
        : throw new CheckpointFormatException("missing-tensor", Location, name, "the file has no such tensor.");

    private void ReadElements<T>(TensorEntry entry, int count, long elementOffset, Span<T> destination, ElementConversion.Converter<T> convert)
    {
        if (elementOffset < 0 || elementOffset > entry.ElementCount - count)
            throw new ArgumentOutOfRangeException(
                nameof(elementOffset), elementOffset, $"{count} elements from here leave tensor '{entry.Name}' of {entry.ElementCount} elements.");
        if (count == 0) return;
        // A span of floats may stand for more than 2 GiB of file (F64, or bytes of a long T[]), so convert in parts.
        int size = entry.Type.Size();
        int perElement = destination.Length / count; // 1, or sizeof(T) when the destination is bytes
        const int Part = 1 << 24;
        long start = _header.DataStart + entry.Begin + (elementOffset * size);
        for (int done = 0; done < count; done += Part)
        {
            int n = Math.Min(Part, count - done);
            convert(_map.Slice(start + ((long)done * size), n * size), destination.Slice(done * perElement, n * perElement));
        }
    }
}
