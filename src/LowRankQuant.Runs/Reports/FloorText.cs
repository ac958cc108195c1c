using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>The noise floor of bf16 in words; where it was not measured, that is said.</summary>
internal static class FloorText
{
    private const string Missing = "not measured";

    /// <summary>The line of a picture; null where it was not measured.</summary>
    public static (string Name, double At)? Level(EvaluationResult? result) => result?.Depth?.Bf16Floor is { } floor ? ("noise floor of bf16", floor.KlDivergence) : null;

    /// <summary>Its divergence in nats, without the unit.</summary>
    public static string Short(EvaluationResult? result) => result?.Depth?.Bf16Floor is { } floor ? Figure.Number(floor.KlDivergence, 2) : Missing;

    /// <summary>What stands below a picture.</summary>
    public static string Caption(EvaluationResult? result) => result?.Depth?.Bf16Floor is null ? $"Noise floor of bf16: {Missing}; `in_depth` measures it."
        : "The dashed line is what the original loses by itself in bf16: less than that cannot be told from noise.";

    /// <summary>All of it.</summary>
    public static string Sentence(EvaluationResult? result)
    {
        if (result?.Depth?.Bf16Floor is not { } floor) return $"Noise floor of bf16: {Missing}; `in_depth` measures it.";
        string times = result.KlDivergence is { } loss && floor.KlDivergence > 0 && double.IsFinite(loss / floor.KlDivergence) ? $" The result is at {Figure.Number(loss / floor.KlDivergence, 2)} times that." : "";
        return $"Noise floor of bf16: the original loses {Figure.WithError(floor.KlDivergence, floor.StandardError)} nats by itself where inputs and weights of its linears are rounded to bf16, and keeps its top token at {Figure.Percent(floor.Top1Agreement)} of positions.{times}";
    }
}
