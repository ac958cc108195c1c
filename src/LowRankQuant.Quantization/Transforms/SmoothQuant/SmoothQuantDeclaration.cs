using System.Globalization;
using LowRankQuant.Models;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Transforms.SmoothQuant;

/// <summary>SmoothQuant as a stage of recipes.</summary>
public sealed class SmoothQuantDeclaration : TransformDeclaration
{
    private const double UsualAlpha = 0.8;

    private static readonly RecipeOption<double> Alpha = Declare.Number(
        "alpha", "How much of the range moves from activations to weights, or auto: the best of 0.1 to 0.9 for every block", "part of the range", 0, 1, "0.8", null, ("auto", double.NaN));

    private static readonly RecipeOption<SmoothSites> Sites = Declare.Choice<SmoothSites>(
        "sites", "Which inputs: those behind norms, or all whose fold is exact (also those of output and down projections)", [new("norms", SmoothSites.Norms), new("all", SmoothSites.All)], "all");

    /// <inheritdoc/>
    public override string Name => "smoothquant";

    /// <inheritdoc/>
    public override string Summary => "divides channels of inputs with outliers and multiplies the weights that read them";

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [Alpha, Sites];

    /// <inheritdoc/>
    public override TransformSettings Resolve(OptionValues values, List<string> problems) => new Settings(values.Or(Alpha, UsualAlpha), values.Or(Sites, SmoothSites.All));

    private sealed record Settings(double Alpha, SmoothSites Sites) : TransformSettings
    {
        public override string Name => "smoothquant";

        public override IReadOnlyList<KeyValuePair<string, string>> Values => [SmoothQuantDeclaration.Alpha.With(Alpha), SmoothQuantDeclaration.Sites.With(Sites)];

        public override bool NeedsInputs => true;

        public override IBlockTransform Create(CausalModel model, ulong seed) => new SmoothQuantTransform(double.IsNaN(Alpha)
            ? new SmoothQuantOptions { Sites = Sites, Search = SmoothQuantOptions.UsualSearch }
            : new SmoothQuantOptions { Sites = Sites, Alpha = Alpha });

        public override string Describe() => string.Create(
            CultureInfo.InvariantCulture, $"smoothquant at {(Sites == SmoothSites.All ? "all sites" : "norms")}, {(double.IsNaN(Alpha) ? "alpha searched for every block" : $"alpha {Alpha}")}");
    }
}
