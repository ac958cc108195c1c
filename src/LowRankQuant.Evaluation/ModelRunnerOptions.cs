namespace LowRankQuant.Evaluation;

/// <summary>Memory and batches of a <see cref="ModelRunner"/>.</summary>
public sealed record ModelRunnerOptions
{
    /// <summary>Bytes for weights and activations; null for a third of what the process may use. Does not change a result.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>Tokens that windows of one length are batched up to.</summary>
    public int BatchTokens { get; init; } = 2048;

    /// <summary>Where activations go that do not fit; null for the system's temporary folder.</summary>
    public string? ScratchFolder { get; init; }

    internal long Budget => MemoryBytes ?? (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 3);

    internal string Scratch => ScratchFolder ?? Path.GetTempPath();
}
