namespace LowRankQuant.Models.Verification.Engines;

/// <summary>The load rules of one engine.</summary>
internal interface IEngineRules
{
    /// <summary>What the engine does with a model; null when it does not read the container at all.</summary>
    EngineVerdict? Judge(StoredModel model);
}
