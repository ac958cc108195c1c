namespace LowRankQuant.Models.Decoder.Passes;

/// <summary>What a mixer remembers of one sequence: keys and values, or anything else. Only the block that made it knows what is in it.</summary>
public interface IMixerState : IDisposable
{
    /// <summary>Takes over the first positions of another state of the same block.</summary>
    void CopyFrom(IMixerState other, int positions);
}

/// <summary>Bytes of a mixer's state.</summary>
/// <param name="Fixed">Whatever the length.</param>
/// <param name="PerPosition">For every position.</param>
public readonly record struct StateSize(long Fixed, long PerPosition)
{
    /// <summary>Bytes for so many positions.</summary>
    public long Of(int positions) => Fixed + (PerPosition * positions);
}
