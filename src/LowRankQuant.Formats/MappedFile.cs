using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LowRankQuant.Formats;

/// <summary>
/// A whole file as read-only memory. Spans handed out are valid until the file is disposed. Another process that shortens the file while it is
/// mapped ends this one (the operating system raises a fault); the file is therefore opened without sharing writes. Pages that were read are given back
/// every so often (<see cref="MappedPages"/>).
/// </summary>
internal sealed unsafe partial class MappedFile : IDisposable
{
    // MADV_WILLNEED and MADV_DONTNEED of Linux and macOS.
    private const int WillNeed = 3;
    private const int DontNeed = 4;
    private readonly FileStream? _stream;
    private readonly byte[]? _memory;
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private byte* _start;
    private bool _disposed;

    /// <summary>Maps a file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="pages">Shared with files that are read together; null for one by itself.</param>
    public MappedFile(string path, MappedPages? pages = null)
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
            Pages = pages ?? new MappedPages();
            Pages.Add(this);
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

    /// <summary>Counts what is read; null for bytes in memory.</summary>
    public MappedPages? Pages { get; }

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
        Pages?.CountRead(length);
        return new ReadOnlySpan<byte>(_start + offset, length);
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        Pages?.Remove(this);
        if (_start is not null && _memory is null) _view!.SafeMemoryMappedViewHandle.ReleasePointer();
        _start = null;
        _view?.Dispose();
        _map?.Dispose();
        _stream?.Dispose();
    }

    /// <summary>Asks the system to read a part of the file into its cache, and returns at once. Advice only.</summary>
    internal void ReadAhead(long offset, long length)
    {
        if (offset < 0 || length <= 0 || offset > Length - length) return;
        long page = Environment.SystemPageSize, start = offset / page * page;
        Advise(start, offset + length - start, WillNeed);
    }

    /// <summary>Gives the pages that were read back to the system. Advice only: a refusal costs memory, not correctness.</summary>
    internal void ReleasePages()
    {
        if (_view is not null && !_disposed) Advise(0, (long)_view.SafeMemoryMappedViewHandle.ByteLength, DontNeed);
    }

    private void Advise(long start, long length, int advice)
    {
        if (_view is null || _disposed || OperatingSystem.IsWindows()) return;
        try
        {
            _ = Advise(_view.SafeMemoryMappedViewHandle.DangerousGetHandle() + (nint)start, (nuint)length, advice);
        }
        catch (EntryPointNotFoundException)
        {
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);
}
