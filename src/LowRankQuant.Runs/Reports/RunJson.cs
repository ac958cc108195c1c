using System.Text.Json.Serialization;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks.Results;

namespace LowRankQuant.Runs.Reports;

/// <summary>Serialisation of reports, one line.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(RunReport))]
[JsonSerializable(typeof(EvaluationResult))]
[JsonSerializable(typeof(CorrectReport))]
[JsonSerializable(typeof(TaskReport))]
[JsonSerializable(typeof(PlanReport))]
public sealed partial class RunJson : JsonSerializerContext;
