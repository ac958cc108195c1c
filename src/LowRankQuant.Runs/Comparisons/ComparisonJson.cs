using System.Text.Json.Serialization;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>Serialisation of cells, a property a line, as people look at them.</summary>
[JsonSourceGenerationOptions(
    WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(CellResult))]
[JsonSerializable(typeof(IReadOnlyList<CellResult>))]
[JsonSerializable(typeof(MeasuredText))]
internal sealed partial class ComparisonJson : JsonSerializerContext;
