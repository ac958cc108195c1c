namespace LowRankQuant.Formats;

/// <summary>
/// Pages of files that are read together, such as the shards of a checkpoint. Pages that were read count as memory of this process until they are given back, so
/// every <see cref="ReadBetweenReleases"/> bytes all files give theirs back: however many shards there are, no more than that much of them stays. For use by several
/// threads at once.
/// </summary>
internal sealed class MappedPages
{
    /// <summary>Most bytes of mapped files that stay in memory.</summary>
    public const long ReadBetweenReleases = 128L << 20;

    // A small read brings in what lies around it: systems map files in pieces of up to 2 MiB.
    private const long Around = 1L << 20;

    private readonly Lock _gate = new();
    private readonly List<MappedFile> _files = [];
    private long _read;

    /// <summary>Adds a file; it takes itself off when it is disposed of.</summary>
    public void Add(MappedFile file)
    {
        lock (_gate) _files.Add(file);
    }

    /// <summary>Takes a file off.</summary>
    public void Remove(MappedFile file)
    {
        lock (_gate) _files.Remove(file);
    }

    /// <summary>
    /// Takes note of bytes about to be read from one of the files, and when many were, has all give back the pages of earlier reads. Spans that are still in use stay
    /// valid: a page that is touched again comes back from the system's cache of the file.
    /// </summary>
    /// <param name="length">Bytes.</param>
    public void CountRead(int length)
    {
        long brought = length + Around;
        if (Interlocked.Add(ref _read, brought) >= ReadBetweenReleases) Release(brought);
    }

    /// <summary>Has all files give their pages back now.</summary>
    public void Release() => Release(0);

    private void Release(long brought)
    {
        lock (_gate)
        {
            Interlocked.Exchange(ref _read, brought);
            foreach (MappedFile file in _files) file.ReleasePages();
        }
    }
}
