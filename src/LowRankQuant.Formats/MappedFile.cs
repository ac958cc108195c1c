using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LowRankQuant.Formats;

/// <summary>
/// A whole file as read-only memory. Spans handed out are valid until the file is disposed. Another process that shortens the file while it is
/// mapped ends this one (the operating system raises a fault); the file is therefore opened without sharing writes.
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly FileStream? _stream;
    private readonly byte[]? _memory;
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private byte* _start;
    private bool _disposed;

    public MappedFile(string path)
    {
        Path = path;
        _stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        try
        {
            Length = _stream.Length;
            if (Length == 0) return; // an empty file cannot be mapped
            _map = MemoryMappedFile.CreateFromFile(_stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
            byte* pointer = null;
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
            _start = pointer + _view.PointerOffset;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private MappedFile(string name, byte[] pinned)
    {
        Path = name;
        Length = pinned.Length;
        _memory = pinned; // keeps the array alive; it lies on the pinned heap and never moves
        _start = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned));
    }

    public string Path { get; }

    public long Length { get; }

    /// <summary>A copy of bytes in memory that behaves as a file of this name.</summary>
    public static MappedFile FromBytes(string name, ReadOnlySpan<byte> bytes)
    {
        byte[] pinned = GC.AllocateUninitializedArray<byte>(bytes.Length, pinned: true);
        bytes.CopyTo(pinned);
        return new MappedFile(name, pinned);
    }

    /// <summary>Bytes [offset, offset + length) of the file.</summary>
    public ReadOnlySpan<byte> Slice(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (offset < 0 || length < 0 || offset > Length - length)
            throw new ArgumentOutOfRangeException(nameof(offset), offset, "The slice leaves the file.");
        return new ReadOnlySpan<byte>(_start + offset, length);
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        if (_start is not null && _memory is null) _view!.SafeMemoryMappedViewHandle.ReleasePointer();
        _start = null;
        _view?.Dispose();
        _map?.Dispose();
        _stream?.Dispose();
    }
}
