using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>The damping of an input covariance as methods declare it.</summary>
internal static class DampingOption
{
    /// <summary>Declares it; the word auto is no number.</summary>
    /// <param name="usual">What it is where nobody says.</param>
    public static RecipeOption<double> Of(string usual) => Declare.Number(
        "damping", "Part of the mean diagonal added to the input covariance, or auto: the best of a few for every layer, judged on the held-out windows",
        "part of the mean diagonal of the input covariance", 0, 10, usual, null, ("auto", double.NaN));
}
