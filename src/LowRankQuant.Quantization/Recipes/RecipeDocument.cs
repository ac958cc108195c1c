namespace LowRankQuant.Quantization.Recipes;

/// <summary>What a recipe file asks for: the recipe itself, and the texts that it is made and measured with. Null where the file says nothing.</summary>
public sealed record RecipeDocument
{
    /// <summary>What decides the bytes of a result, but for the texts.</summary>
    public RecipeRequest Request { get; init; } = new();

    /// <summary>Calibration files, or <c>self</c>; empty for none.</summary>
    public IReadOnlyList<string> Calibration { get; init; } = [];

    /// <summary>Values beside the recipe, texts by the keys of <see cref="RecipeFile"/>: those of data (without numbers of windows), evaluation and output.</summary>
    public IReadOnlyDictionary<string, string> Texts { get; init; } = new Dictionary<string, string>();
}
