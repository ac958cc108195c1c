namespace LowRankQuant.Quantization.Recipes;

/// <summary>A transform as somebody asks for it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Options">Texts by key.</param>
public sealed record TransformStage(string Name, IReadOnlyDictionary<string, string> Options)
{
    /// <summary>The word that asks for no transform at all, not even that of the scheme.</summary>
    public const string None = "none";
}
