using LowRankQuant.Numerics;

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

    /// <summary>The sum of the runs that have ended; owned by this object.</summary>
    public double[] Total => _total ??= new double[size];

    /// <summary>Adds the elements of a tensor to the run.</summary>
    public void Add(Tensor values)
    {
        const int part = 1 << 16;
        double[] sum = Segment;
        float[]? copied = values.IsOnHost ? null : values.ToArray();
        values.Device.HostWorkers.Run((sum.Length + part - 1) / part, chunk =>
        {
            Span<double> target = sum.AsSpan(chunk * part, Math.Min(part, sum.Length - (chunk * part)));
            ReadOnlySpan<float> source = (copied is null ? values.Span : copied).Slice(chunk * part, target.Length);
            for (int i = 0; i < target.Length; i++) target[i] += source[i];
        });
    }

    /// <summary>The sums of the run that goes on; not to be kept.</summary>
    public double[] Segment => _segment ??= new double[size];

    /// <summary>Ends the run. The first one's memory becomes the total's, so that a sum of one run takes no more than its size.</summary>
    public void EndSegment()
    {
        if (_segment is null) return;
        if (_total is null)
        {
            (_total, _segment) = (_segment, null);
            return;
        }
        for (int i = 0; i < _total.Length; i++) _total[i] += _segment[i];
        Array.Clear(_segment);
    }
}
