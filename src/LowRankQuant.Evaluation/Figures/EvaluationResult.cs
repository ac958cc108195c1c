using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Tasks.Results;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>The figures of one evaluation; null where something was not measured.</summary>
public sealed record EvaluationResult
{
    /// <summary>exp(<see cref="NegativeLogLikelihood"/>).</summary>
    public double? Perplexity { get; init; }

    /// <summary>Mean loss in nats, averaged over windows or tokens as asked.</summary>
    public double? NegativeLogLikelihood { get; init; }

    /// <summary>Scored tokens.</summary>
    public long? Tokens { get; init; }

    /// <summary>Windows.</summary>
    public int? Windows { get; init; }

    /// <summary>Documents of a rolling perplexity.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Documents { get; init; }

    /// <summary>Rolling perplexity per word of the original text.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? WordPerplexity { get; init; }

    /// <summary>Rolling perplexity per byte of the original text.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? BytePerplexity { get; init; }

    /// <summary>Rolling loss in bits per byte of the original text.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? BitsPerByte { get; init; }

    /// <summary>What was read otherwise than it stands, or left out; a sentence each.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<string>? Warnings { get; init; }

    /// <summary>Figures of tasks.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TaskReport? Tasks { get; init; }

    /// <summary>Mean over positions of KL(reference || model) in nats.</summary>
    public double? KlDivergence { get; init; }

    /// <summary>Share of positions where both models hold the same token for the most probable, 0 to 1.</summary>
    public double? Top1Agreement { get; init; }

    /// <summary>Where the model differs from the reference; null where only means were asked for.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DepthReport? Depth { get; init; }

    /// <summary>
    /// Standard errors by the names of the metrics. Loss: from the spread of window means, or of tokens when those are averaged or there is one
    /// window; perplexity: that times the perplexity; divergence: sample deviation / sqrt n; agreement: sqrt(p (1 - p) / (n - 1)). Positions are
    /// taken as independent. Rolling: from the spread of documents about the mean loss per word or byte.
    /// </summary>
    public IReadOnlyDictionary<string, double> StandardErrors { get; init; } = new Dictionary<string, double>();

    /// <summary>Stored bits per weight of the quantized linear layers, scales and zero points included; filled in by who knows the files.</summary>
    public double? BitsPerWeight { get; init; }

    /// <summary>Stored bits per weight of the whole model; filled in by who knows the files.</summary>
    public double? ModelBitsPerWeight { get; init; }

    /// <summary>Quantizers of activations and caches that ran with the model; filled in by who knows the files.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Quantizers { get; init; }

    /// <summary>By what products linears were computed where a model has quantizers: <c>int8</c>, <c>float</c>, or how many by which; filled in by who knows the model.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Products { get; init; }

    /// <summary>Time taken.</summary>
    public double? Seconds { get; init; }

    /// <summary>The most memory the process has had so far.</summary>
    public long? PeakMemoryBytes { get; init; }

    /// <summary>The figures as JSON text, one property a line: names in camel case, null for what is not measured.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, EvaluationJson.Default.EvaluationResult);

    /// <summary>The figures as a JSON object, to be put into a report.</summary>
    public JsonObject ToJsonObject() => JsonSerializer.SerializeToNode(this, EvaluationJson.Default.EvaluationResult)!.AsObject();
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    WriteIndented = true,
    NewLine = "\n")]
[JsonSerializable(typeof(EvaluationResult))]
internal sealed partial class EvaluationJson : JsonSerializerContext;
