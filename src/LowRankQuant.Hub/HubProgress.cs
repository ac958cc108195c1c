namespace LowRankQuant.Hub;

/// <summary>What a line of progress is.</summary>
public enum HubLine
{
    /// <summary>Something a user may wonder about.</summary>
    Note,

    /// <summary>Fetching begins.</summary>
    Stage,

    /// <summary>Something that may not be what was meant.</summary>
    Warning,
}

/// <summary>What a fetch tells while it works.</summary>
/// <param name="Done">Bytes that are here.</param>
/// <param name="Total">Bytes in all that are fetched.</param>
/// <param name="Text">A line worth telling; null for none.</param>
/// <param name="Line">What that line is.</param>
public readonly record struct HubProgress(long Done, long Total, string? Text = null, HubLine Line = HubLine.Note);
