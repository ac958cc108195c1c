using System.Runtime.InteropServices;
using LowRankQuant.Formats;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using Microsoft.Win32.SafeHandles;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// One matrix [rows, columns] of 32-bit floats per window, in memory while the budget lasts and otherwise in a file that is deleted on close.
/// Windows can be overwritten in place.
/// </summary>
public sealed class ActivationStore : IDisposable
{
    private readonly MemoryBudget _budget;
    private readonly float[][]? _memory;
    private readonly SafeFileHandle? _file;
    private readonly string? _path;
    private readonly long _bytes;
    private int _disposed;

    /// <summary>Creates the store with undefined contents.</summary>
    /// <param name="windows">Number of windows.</param>
    /// <param name="rows">Rows of each, its tokens.</param>
    /// <param name="columns">Columns, the width of the residual stream.</param>
    /// <param name="budget">Memory to take, when it is there.</param>
    /// <param name="folder">Where the file goes when it is not.</param>
    /// <exception cref="IOException">The disk has no room.</exception>
    public ActivationStore(int windows, int rows, int columns, MemoryBudget budget, string folder)
    {
        Windows = windows;
        Rows = rows;
        Columns = columns;
        _budget = budget;
        _bytes = (long)windows * rows * columns * sizeof(float);
        if (budget.TryReserve(_bytes))
        {
            _memory = new float[windows][];
            for (int i = 0; i < windows; i++) _memory[i] = GC.AllocateUninitializedArray<float>(rows * columns);
            return;
        }
        Directory.CreateDirectory(folder);
        _path = Path.Combine(folder, $"activations-{Guid.NewGuid():N}.tmp");
        _file = File.OpenHandle(_path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, FileOptions.DeleteOnClose, preallocationSize: _bytes);
    }

    /// <summary>A store that is not worth a full disk: null where memory has no room and the disk would be left with less than the store takes.</summary>
    /// <inheritdoc cref="ActivationStore(int, int, int, MemoryBudget, string)"/>
    internal static ActivationStore? WhereThereIsRoom(int windows, int rows, int columns, MemoryBudget budget, string folder)
    {
        long bytes = (long)windows * rows * columns * sizeof(float);
        if (budget.Free < bytes && DiskSpace.Shortage(folder, 2 * bytes) is not null) return null;
        try
        {
            return new ActivationStore(windows, rows, columns, budget, folder);
        }
        catch (IOException)
        {
            // Somebody else was faster.
            return null;
        }
    }

    /// <summary>Number of windows.</summary>
    public int Windows { get; }

    /// <summary>Rows of each window.</summary>
    public int Rows { get; }

    /// <summary>Columns of each window.</summary>
    public int Columns { get; }

    /// <summary>Whether the windows lie on disk.</summary>
    public bool OnDisk => _file is not null;

    /// <summary>Reads one window, or its first rows, into <paramref name="destination"/> [up to rows, columns].</summary>
    public void Read(int window, Tensor destination)
    {
        if (_memory is not null)
        {
            destination.CopyFrom(_memory[window].AsSpan(0, Count(destination)));
            return;
        }
        if (destination.Device is CpuDevice)
        {
            ReadFully(window, MemoryMarshal.AsBytes(destination.Span));
            return;
        }
        var values = new float[Count(destination)];
        ReadFully(window, MemoryMarshal.AsBytes(values.AsSpan()));
        destination.CopyFrom(values);
    }

    /// <summary>Writes one window, or its first rows, from <paramref name="source"/> [up to rows, columns].</summary>
    public void Write(int window, Tensor source)
    {
        if (_memory is not null)
        {
            source.Device.Kernels.Download(source, _memory[window].AsSpan(0, Count(source)));
            return;
        }
        ReadOnlySpan<float> values = source.Device is CpuDevice ? source.Span : source.ToArray();
        RandomAccess.Write(_file!, MemoryMarshal.AsBytes(values), Offset(window));
    }

    /// <summary>Gives memory and file back; once, however often it is called.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        if (_memory is not null) _budget.Release(_bytes);
        _file?.Dispose();
    }

    private int Count(Tensor window) => window.Count <= (long)Rows * Columns && window.Count % Columns == 0
        ? (int)window.Count
        : throw new ArgumentException($"A window {window} for a store of [{Rows}, {Columns}].", nameof(window));

    private long Offset(int window) => (long)window * Rows * Columns * sizeof(float);

    private void ReadFully(int window, Span<byte> destination)
    {
        long offset = Offset(window);
        while (!destination.IsEmpty)
        {
            int read = RandomAccess.Read(_file!, destination, offset);
            if (read == 0) throw new EndOfStreamException($"{_path}: the activation file ends before window {window}.");
            destination = destination[read..];
            offset += read;
        }
    }
}
