using LowRankQuant.Models;

namespace LowRankQuant.Runs.Reports;

/// <summary>Linears of one name and shape that stay in their own type.</summary>
/// <param name="Name">Name within the block.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Blocks">In how many blocks.</param>
/// <param name="ByDefault">Whether their family leaves them so; else <c>layers</c> asked for it.</param>
public sealed record KeptLinear(string Name, int OutFeatures, int InFeatures, int Blocks, bool ByDefault)
{
    /// <summary>Those of a model, in the order in which they come.</summary>
    public static IReadOnlyList<KeptLinear> Of(CausalModel model) =>
        [.. model.Layout.Kept.SelectMany(block => block).GroupBy(linear => linear).Select(same => new KeptLinear(same.Key.Name, same.Key.OutFeatures, same.Key.InFeatures, same.Count(), same.Key.KeptByDefault))];

    /// <summary>In words.</summary>
    /// <param name="linears">Some of them.</param>
    /// <param name="layers">Blocks of the model.</param>
    public static string Describe(IEnumerable<KeptLinear> linears, int layers) =>
        string.Join(", ", linears.Select(linear => $"{linear.Name}{(linear.Blocks == layers ? "" : $" of {linear.Blocks} blocks")}{(linear.ByDefault ? "" : " (as asked)")}"));
}
