using System.Text.Json.Serialization;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Runs.Reports;

/// <summary>What came out of a quantization run. The names are those of report.json and <c>json</c>.</summary>
public sealed record RunReport
{
    /// <summary>The method, as the command line spells it.</summary>
    public required string Method { get; init; }

    /// <summary>Grid, start and scale type in words.</summary>
    public required string Scheme { get; init; }

    /// <summary>Activations, caches and transforms in words; null where the weights alone are quantized.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Quantizers { get; init; }

    /// <summary>What products of linears were rounded to while blocks were run and learned; null for fp32.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Precision { get; init; }

    /// <summary>Linears of the blocks that stay in their own type; empty where all are quantized.</summary>
    public IReadOnlyList<KeptLinear> KeptLinears { get; init; } = [];

    /// <summary>Blocks that were quantized in a way of their own, a line for each way; empty where none was.</summary>
    public IReadOnlyList<string> OwnBlocks { get; init; } = [];

    /// <summary>Windows that each of several weighted calibration texts gave; null where texts have no weights.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<CalibrationShare>? CalibrationShares { get; init; }

    /// <summary>The output folder.</summary>
    public required string Output { get; init; }

    /// <summary>Where the result lies in another engine's container too; null where none was asked for. Of a session, and not kept with the result.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Exported { get; init; }

    /// <summary>What the model was measured on: a file, or the held-out calibration windows; null when it was not measured.</summary>
    public string? EvaluationSource { get; init; }

    /// <summary>The text behind <see cref="EvaluationSource"/>, told apart from others; null in reports of earlier versions.</summary>
    public MeasuredText? Measured { get; init; }

    /// <summary>The model as it was.</summary>
    public EvaluationResult? FullPrecision { get; init; }

    /// <summary>Rounded to nearest on the range of the weights: in the same scheme, or where the result stores more than that, on <see cref="RtnGrid"/>.</summary>
    public EvaluationResult? Rtn { get; init; }

    /// <summary>The grid of round to nearest and its stored bits per weight where the result stores more than the scheme takes: the nearest that takes as many; null where it is the scheme's.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? RtnGrid { get; init; }

    /// <summary>The model as stored.</summary>
    public EvaluationResult? Result { get; init; }

    /// <summary>The model as its files say, without what no checkpoint can hold, such as a cache quantized per token; null where the two are the same.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public EvaluationResult? AsStored { get; init; }

    /// <summary>What tasks the result was asked, and how its answers differ from the original's; null where none were recorded.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TaskReport? Tasks { get; init; }

    /// <summary>Bits per weight of the linears in the result's files: codes, scales, zero points, low-rank branches; 16 where it holds plain floats.</summary>
    public double? BitsPerWeight { get; init; }

    /// <summary>The same with branches in the bits of their factors, which PEFT may exceed, and before codes are made floats: what a budget bounds.</summary>
    public double? CountedBitsPerWeight { get; init; }

    /// <summary>Tensors of the source that are no part of the model that is computed, carried over as they are.</summary>
    public IReadOnlyList<string> CarriedOver { get; init; } = [];

    /// <summary>Stored bits per weight of the source's linears.</summary>
    public double? SourceBitsPerWeight { get; init; }

    /// <summary>What the source's linears are stored as where it is quantized itself, such as <c>Q4_1</c>; null where they are floats.</summary>
    public string? SourceTypes { get; init; }

    /// <summary>Where the bytes of the result's files go; null when nothing was written.</summary>
    public StoredParts? Stored { get; init; }

    /// <summary>Bytes of the source's model files.</summary>
    public long? SourceBytes { get; init; }

    /// <summary>Bytes of all parameters in bf16.</summary>
    public long? Bf16Bytes { get; init; }

    /// <summary>Bytes of the embedding and an untied head in bf16.</summary>
    public long? EmbeddingBytes { get; init; }

    /// <summary>Bytes of the result's model files.</summary>
    public long? ResultBytes { get; init; }

    /// <summary>Bits of the result's model files per parameter, embedding and head included.</summary>
    public double? ResultBitsPerParameter { get; init; }

    /// <summary>Bytes of the model files that round to nearest would take, its own codes and scales and no branches.</summary>
    public long? RtnBytes { get; init; }

    /// <summary>How the adapter of the result tells its ranks; null without one.</summary>
    public AdapterForm? AdapterForm { get; init; }

    /// <summary>Wall time, all sessions of the run together.</summary>
    public double Seconds { get; init; }

    /// <summary>Largest resident memory of any process that worked on the run.</summary>
    public long PeakMemoryBytes { get; init; }

    /// <summary>One report per block.</summary>
    public IReadOnlyList<BlockReport> Blocks { get; init; } = [];

    /// <summary>Embedding and output head where they are quantized; else empty.</summary>
    public IReadOnlyList<VocabularyReport> Vocabulary { get; init; } = [];

    /// <summary>What tuning the whole model did; null where it was not tuned. Reports of blocks and layers are those before it.</summary>
    public TuningReport? Tuning { get; init; }

    /// <summary>The linears of all blocks as stored; empty in reports of earlier versions.</summary>
    public IReadOnlyList<TensorReport> Tensors { get; init; } = [];

    /// <summary>Which engines take the result as it lies in its folder; null where nobody asked, as in reports of earlier versions.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<EngineReport>? Engines { get; init; }

    /// <summary>What the result comes from; null in reports of earlier versions.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public RunOrigin? Origin { get; init; }

    /// <summary>What the user should look at.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Those of the warnings that are about the text that was measured on.</summary>
    public IReadOnlyList<string> TextWarnings { get; init; } = [];

    /// <summary>SHA-256 of the output's tensors; null when nothing was written.</summary>
    public string? OutputHash { get; init; }

    /// <summary>A sample of text generated by the result.</summary>
    public string? Sample { get; init; }
}
