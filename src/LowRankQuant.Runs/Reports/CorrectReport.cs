using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Runs.Reports;

/// <summary>What came out of <c>lrq correct</c>.</summary>
public sealed record CorrectReport
{
    /// <summary>Folder of the adapter; null when no branch pays.</summary>
    public string? Output { get; init; }

    /// <summary>Stored bits per weight of the linears without branches.</summary>
    public required double BaseBitsPerWeight { get; init; }

    /// <summary>Stored bits per weight of the linears with branches, the branches as the adapter holds them.</summary>
    public required double BitsPerWeight { get; init; }

    /// <summary>The same with branches in the bits of their factors, as lrq's own file holds them: what the budget bounds.</summary>
    public required double CountedBitsPerWeight { get; init; }

    /// <summary>Bytes of the adapter's factors.</summary>
    public required long AdapterBytes { get; init; }

    /// <summary>Bytes of the same factors in lrq's own file.</summary>
    public required long CountedAdapterBytes { get; init; }

    /// <summary>Every linear, named by module path.</summary>
    public required IReadOnlyList<LayerReport> Layers { get; init; }

    /// <summary>What the user should look at.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Bytes of the quantized model's files.</summary>
    public long? BaseBytes { get; init; }

    /// <summary>Wall time, all sessions of the run together.</summary>
    public double Seconds { get; init; }

    /// <summary>Largest resident memory of any process that worked on the run.</summary>
    public long PeakMemoryBytes { get; init; }
}
