namespace LowRankQuant.Models.Checkpoints;

/// <summary>What a model is opened for.</summary>
public enum ModelUse
{
    /// <summary>Anything; its architecture must be known.</summary>
    Any,

    /// <summary>Its forward pass alone, by what quantizes activations and caches on the way where it asks for that.</summary>
    Forward,

    /// <summary>Its weights alone, which are looked at or rounded one by one: of a folder whose architecture no family knows, linears are found by their names.</summary>
    Weights,
}
