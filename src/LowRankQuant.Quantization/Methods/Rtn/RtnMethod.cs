using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Rtn;

/// <summary>Round to nearest.</summary>
public sealed class RtnMethod : QuantizationMethod
{
    /// <summary>Round to nearest on the range of the weights, which needs least of all methods.</summary>
    public static MethodSettings Plain { get; } = new RtnSettings(GridStart.MinMax, false);

    private static readonly RecipeOption<GridStart> Start = Declare.Choice(
        "start", "How grids are found: from the range of the weights, or by a search for the least error", GridNames.Starts, "minmax");

    /// <inheritdoc/>
    public override string Name => "rtn";

    /// <inheritdoc/>
    public override string Summary => "round to nearest, without looking at any text";

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [Start];

    /// <inheritdoc/>
    public override MethodNeeds Needs => MethodNeeds.None;

    /// <inheritdoc/>
    public override bool TakesTensorScales => true;

    /// <inheritdoc/>
    public override bool TakesFloatGrids => true;

    /// <inheritdoc/>
    public override bool TakesAffineGrids => true;

    /// <inheritdoc/>
    public override MethodSettings Resolve(MethodRequest request)
    {
        if (request.AllTwoLevel) request.Refuse("does not apply to two-level grids: their integers are always searched for; leave it out", Start);
        GridStart usual = request.Grid is Numerics.Quantized.TwoLevelGrid ? GridStart.Search : GridStart.MinMax;
        return new RtnSettings(request.Values.Or(Start, usual), request.AllTwoLevel);
    }

    private sealed record RtnSettings(GridStart First, bool AlwaysSearched) : MethodSettings
    {
        public override string Method => "rtn";

        public override IReadOnlyList<KeyValuePair<string, string>> Values => AlwaysSearched ? [] : [RtnMethod.Start.With(First)];

        public override GridStart Start => First;

        public override bool RoundsToNearest => true;

        public override IBlockMethod Create() => new RoundToNearest();

        public override string Describe() => $"round to nearest, {GridNames.Describe(First)}";
    }
}
