namespace LowRankQuant.Models.Verification.Engines;

/// <summary>The engines whose rules are known.</summary>
internal static class EngineCatalog
{
    private static readonly IEngineRules[] All = [new VllmRules(), new TransformersRules(), new GptqModelRules(), new AutoAwqRules(), new MlxRules(), new LlamaCppRules()];

    /// <summary>Verdicts of the engines that read the container at all.</summary>
    public static IReadOnlyList<EngineVerdict> Judge(StoredModel model) => [.. All.Select(rules => rules.Judge(model)).OfType<EngineVerdict>()];
}
