using System.Text.Json.Serialization;

namespace LowRankQuant.Quantization.Storage;

/// <summary>Serialisation of the pipeline's records.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(BlockReport))]
[JsonSerializable(typeof(VocabularyReport))]
[JsonSerializable(typeof(RunFingerprint))]
[JsonSerializable(typeof(RunEffort))]
[JsonSerializable(typeof(TuningReport))]
public sealed partial class PipelineJson : JsonSerializerContext;
