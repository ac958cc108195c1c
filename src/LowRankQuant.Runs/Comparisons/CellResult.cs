using System.Text.Json.Serialization;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>Figures of one method under one scheme: the content of its file, from which tables and pictures are made wherever they are wanted.</summary>
public sealed record CellResult
{
    /// <summary>Layers that a cell keeps at most; the report of a larger model has them.</summary>
    public const int MostLayers = 8192;

    /// <summary>The method.</summary>
    public required string Method { get; init; }

    /// <summary>The scheme.</summary>
    public required string Scheme { get; init; }

    /// <summary>Identity of what was computed: model, calibration data, recipe and text. Not the machine: a cell that somebody else made counts.</summary>
    public required string Key { get; init; }

    /// <summary>Why there are no figures; null where there are.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Refusal { get; init; }

    /// <summary>Name of the text that was measured on.</summary>
    public string? Source { get; init; }

    /// <summary>The original.</summary>
    public EvaluationResult? Original { get; init; }

    /// <summary>The result.</summary>
    public EvaluationResult? Result { get; init; }

    /// <summary>Stored bits per weight of the linears: codes, scales, zero points, branches.</summary>
    public double? BitsPerWeight { get; init; }

    /// <summary>Numbers that were learned of the rounding of all linears; 0 where none were.</summary>
    public long LearnedParameters { get; init; }

    /// <summary>Calibration tokens that were learned from.</summary>
    public long CalibrationTokens { get; init; }

    /// <summary>SHA-256 of the calibration windows; cells of equal data have it in common.</summary>
    public string? CalibrationHash { get; init; }

    /// <summary>Mean loss of blocks on training windows, and on held-out ones, in model order; empty where the method measures none.</summary>
    public IReadOnlyList<double> BlockLosses { get; init; } = [];

    /// <summary>See <see cref="BlockLosses"/>.</summary>
    public IReadOnlyList<double> HeldOutLosses { get; init; } = [];

    /// <summary>Accumulated errors of block outputs, a text each; null where an earlier version made the cell.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<BlockErrors>? OutputErrors { get; init; }

    /// <summary>
    /// What every layer got, named by block and layer, where the method stores branches or chooses widths by layer; null elsewhere, beyond <see cref="MostLayers"/> layers,
    /// and where an earlier version made the cell.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<LayerReport>? Layers { get; init; }

    /// <summary>Wall time of the blocks.</summary>
    public double Seconds { get; init; }

    /// <summary>Largest resident memory of a block; 0 where the system does not tell.</summary>
    public long PeakMemoryBytes { get; init; }

    /// <summary>Processor, threads and kernels that made it.</summary>
    public string? Machine { get; init; }
}
