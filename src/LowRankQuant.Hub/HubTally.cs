using System.Globalization;

namespace LowRankQuant.Hub;

/// <summary>Adds up what several downloads tell and passes it on, one call at a time.</summary>
internal sealed class HubTally(IProgress<HubProgress>? progress)
{
    private readonly Lock _lock = new();
    private long _done;

    /// <summary>Bytes that are fetched in all; 0 before anything is.</summary>
    public long Total { get; private set; }

    /// <summary>Files will be fetched.</summary>
    public void Begin(int files, long bytes, HubName name)
    {
        const double megabyte = 1e6;
        Total += bytes;
        Say(string.Create(CultureInfo.InvariantCulture, $"fetching {files} file{(files == 1 ? "" : "s")} of {name}, {bytes / megabyte:N1} MB"), HubLine.Stage);
    }

    /// <summary>So many bytes are there more, or less.</summary>
    public void Advance(long bytes)
    {
        if (bytes == 0) return;
        lock (_lock)
        {
            _done += bytes;
            progress?.Report(new HubProgress(_done, Total));
        }
    }

    /// <summary>A line worth telling.</summary>
    public void Say(string text, HubLine line = HubLine.Note)
    {
        lock (_lock) progress?.Report(new HubProgress(_done, Total, text, line));
    }
}
