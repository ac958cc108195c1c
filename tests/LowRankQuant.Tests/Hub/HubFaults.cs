namespace LowRankQuant.Tests.Hub;

/// <summary>What the server of the tests does wrong; nothing where nothing is set.</summary>
internal sealed class HubFaults
{
    private int _cuts, _busy;

    /// <summary>So many downloads of large files end early.</summary>
    public int Cuts { init => _cuts = value; }

    /// <summary>After so many bytes.</summary>
    public int CutAfter { get; init; } = 30_000;

    /// <summary>So many requests are answered <see cref="BusyStatus"/>.</summary>
    public int Busy { init => _busy = value; }

    public int BusyStatus { get; init; } = 429;

    /// <summary>Retry-After of those answers.</summary>
    public string? RetryAfter { get; init; }

    /// <summary>RateLimit of those answers.</summary>
    public string? RateLimit { get; init; }

    /// <summary>One byte of every large file is another.</summary>
    public bool Corrupt { get; init; }

    /// <summary>A range is answered by the whole file.</summary>
    public bool IgnoresRanges { get; init; }

    /// <summary>A range is answered 416.</summary>
    public bool RefusesRanges { get; init; }

    /// <summary>Large files have so many bytes more than is stated, without a length in front.</summary>
    public int Surplus { get; init; }

    /// <summary>Large files have so many bytes more than is stated, as their length says.</summary>
    public int AnnouncedSurplus { get; init; }

    /// <summary>A download of a large file begins and then nothing comes.</summary>
    public bool Stalls { get; init; }

    /// <summary>Where the hub sends who asks for a large file.</summary>
    public string? Location { get; init; }

    /// <summary>A name in the list of files that has no business there.</summary>
    public string? ForeignName { get; init; }

    /// <summary>The size that the list of files states of large files.</summary>
    public long? StatedSize { get; init; }

    /// <summary>What is answered where JSON is asked for.</summary>
    public string? Answer { get; init; }

    /// <summary>Bytes of blanks that every answer in JSON begins with.</summary>
    public int Blanks { get; init; }

    /// <summary>Every page of the list of files names a next one.</summary>
    public bool EndlessPages { get; init; }

    public bool TakesCut() => Interlocked.Decrement(ref _cuts) >= 0;

    public bool TakesBusy() => Interlocked.Decrement(ref _busy) >= 0;
}
