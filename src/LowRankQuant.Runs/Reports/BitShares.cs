using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>Bits per weight of the quantized linears, divided into what they are spent on; null where the report does not tell.</summary>
/// <param name="Codes">Codes.</param>
/// <param name="Scales">Scales and zero points.</param>
/// <param name="Branch">Low-rank branches.</param>
internal sealed record BitShares(double? Codes, double? Scales, double? Branch)
{
    /// <summary>Divides the bits of a report.</summary>
    public static BitShares Of(RunReport report)
    {
        double weights = report.Tensors.Sum(tensor => (double)tensor.Rows * tensor.Columns), codes = report.Tensors.Sum(tensor => (double)tensor.Rows * tensor.Columns * tensor.Bits);
        if (report.Stored is not { } stored || !(weights > 0)) return new BitShares(null, null, null);
        double scales = (stored.LinearBytes * 8.0) - codes;
        return new BitShares(codes / weights, scales >= 0 ? scales / weights : null, stored.BranchBytes * 8.0 / weights);
    }

    /// <summary>In words; empty where nothing is known.</summary>
    public string Describe() => Codes is null ? "codes, scales, zero points and branches counted"
        : $"codes {Figure.Bits(Codes)}{(Scales is null ? "" : $" + scales {Figure.Bits(Scales)}")}{(Branch > 0 ? $" + branch {Figure.Bits(Branch)}" : "")}";
}
