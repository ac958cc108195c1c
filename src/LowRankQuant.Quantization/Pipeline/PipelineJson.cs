using System.Text.Json.Serialization;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Serialisation of the pipeline's records.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(Recipe))]
[JsonSerializable(typeof(BlockReport))]
[JsonSerializable(typeof(Vocabulary.VocabularyReport))]
[JsonSerializable(typeof(BranchCorrectionOptions))]
[JsonSerializable(typeof(RunFingerprint))]
[JsonSerializable(typeof(RunEffort))]
[JsonSerializable(typeof(Tuning.TuningReport))]
[JsonSerializable(typeof(List<Budget.PlannedLayer>))]
public sealed partial class PipelineJson : JsonSerializerContext;
