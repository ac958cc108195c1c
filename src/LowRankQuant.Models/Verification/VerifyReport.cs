using LowRankQuant.Models.Verification.Engines;

namespace LowRankQuant.Models.Verification;

/// <summary>What was found in a container.</summary>
public sealed record VerifyReport
{
    /// <summary>Kind of the container.</summary>
    public required string Kind { get; init; }

    /// <summary>Tensors that were read whole.</summary>
    public int Tensors { get; init; }

    /// <summary>Quantized linears.</summary>
    public int Linears { get; init; }

    /// <summary>Tensors whose codes, stored scales and zero points or minima were compared with the run.</summary>
    public int ComparedByCodes { get; init; }

    /// <summary>Tensors whose values were compared with the run, linears among them.</summary>
    public int ComparedByValues { get; init; }

    /// <summary>Low-rank branches that were compared with the run.</summary>
    public int Branches { get; init; }

    /// <summary>Texts whose tokens were compared with the run's.</summary>
    public int Texts { get; init; }

    /// <summary>Chat templates that were compared with the run's.</summary>
    public int Templates { get; init; }

    /// <summary>First difference of every tensor that has one.</summary>
    public IReadOnlyList<Difference> Differences { get; init; } = [];

    /// <summary>What could not be compared, and why.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Which engines load the container, and how they run it.</summary>
    public IReadOnlyList<EngineVerdict> Engines { get; init; } = [];
}
