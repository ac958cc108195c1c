namespace LowRankQuant.Models.Families;

/// <summary>All supported architectures.</summary>
public static class ModelFamilies
{
    private static readonly IModelFamily[] All = [new LlamaFamily()];

    /// <summary>The family of a <c>model_type</c>.</summary>
    /// <param name="modelType">The value in config.json.</param>
    /// <param name="file">Its file, for the message.</param>
    /// <exception cref="UnsupportedModelException">No family serves it.</exception>
    public static IModelFamily For(string? modelType, string file)
    {
        foreach (IModelFamily family in All)
        {
            if (modelType is not null && family.ModelTypes.Contains(modelType)) return family;
        }
        string supported = string.Join(", ", All.SelectMany(family => family.ModelTypes));
        throw new UnsupportedModelException($"{file}: model_type '{modelType ?? "(absent)"}' is not supported; supported are {supported}.");
    }
}
