using LowRankQuant.Formats.Engines;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>How an engine takes a container.</summary>
public enum EngineSupport
{
    /// <summary>Loads it and has fast kernels for it.</summary>
    Fast,

    /// <summary>Loads it; runs it by general or recent kernels.</summary>
    Loads,

    /// <summary>Does not load it.</summary>
    Refuses,
}

/// <summary>What an engine does with a container.</summary>
/// <param name="Rules">The engine, with the releases and the day that the verdict stands for.</param>
/// <param name="Support">How it takes it.</param>
/// <param name="Reason">Which rule decided.</param>
public sealed record EngineVerdict(EngineRules Rules, EngineSupport Support, string Reason)
{
    /// <summary>Name of the engine.</summary>
    public string Engine => Rules.Engine;
}
