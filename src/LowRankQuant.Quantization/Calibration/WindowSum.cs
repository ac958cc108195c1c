using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// The order in which sums over windows are taken: the windows are cut into <see cref="Count"/> runs, whatever their number; a run is summed in order, and
/// then the sums of the runs are. Machines that share the windows out by whole runs so get the same bits as one machine.
/// </summary>
internal static class WindowSegments
{
    /// <summary>Runs of windows.</summary>
    public const int Count = 12;

    /// <summary>Whether a window is the last of its run.</summary>
    /// <param name="window">Its number among those summed, from 0.</param>
    /// <param name="windows">How many are summed.</param>
    public static bool EndsSegment(int window, int windows) =>
        window == windows - 1 || (long)window * Count / windows != (window + 1L) * Count / windows;
}

/// <summary>A sum of one number per window, in the order of <see cref="WindowSegments"/>.</summary>
/// <param name="windows">How many will come.</param>
internal sealed class WindowSum(int windows)
{
    private double _segment;
    private int _window;

    /// <summary>The sum so far; of whole runs until the last window has come.</summary>
    public double Total { get; private set; }

    /// <summary>Adds the next window's number.</summary>
    public void Add(double value)
    {
        _segment += value;
        if (!WindowSegments.EndsSegment(_window++, windows)) return;
        Total += _segment;
        _segment = 0;
    }
}

/// <summary>A sum of matrices, in double precision, whose runs the caller ends.</summary>
/// <param name="size">Elements.</param>
internal sealed class SegmentedMatrix(long size)
{
    private double[]? _total;
    private double[]? _segment;
    private WorkerPool? _workers;

    /// <summary>The sum of the runs that have ended; owned by this object.</summary>
    public double[] Total => _total ??= new double[size];

    /// <summary>Adds the elements of a tensor to the run.</summary>
    public void Add(Tensor values)
    {
        double[] sum = Segment;
        _workers = values.Device.HostWorkers;
        float[]? copied = values.IsOnHost ? null : values.ToArray();
        InParts(sum.Length, (first, count) =>
        {
            Span<double> target = sum.AsSpan(first, count);
            ReadOnlySpan<float> source = (copied is null ? values.Span : copied).Slice(first, count);
            for (int i = 0; i < target.Length; i++) target[i] += source[i];
        });
    }

    /// <summary>The sums of the run that goes on; not to be kept.</summary>
    public double[] Segment => _segment ??= new double[size];

    /// <summary>Ends the run. The first one's memory becomes the total's, so that a sum of one run takes no more than its size.</summary>
    public void EndSegment()
    {
        if (_segment is not { } segment) return;
        if (_total is not { } total)
        {
            (_total, _segment) = (segment, null);
            return;
        }
        InParts(total.Length, (first, count) =>
        {
            Span<double> ended = segment.AsSpan(first, count), sum = total.AsSpan(first, count);
            VectorKernels.AddScaled(1, ended, sum);
            ended.Clear();
        });
    }

    private void InParts(int length, Action<int, int> work)
    {
        const int part = 1 << 16;
        if (_workers is null) work(0, length);
        else _workers.Run((length + part - 1) / part, chunk => work(chunk * part, Math.Min(part, length - (chunk * part))));
    }
}
