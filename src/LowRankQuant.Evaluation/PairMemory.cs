using LowRankQuant.Models;

namespace LowRankQuant.Evaluation;

/// <summary>How the blocks of a model and of its reference share memory. All ways give the same numbers.</summary>
public enum MemorySharing
{
    /// <summary>Both stay.</summary>
    Together,

    /// <summary>The reference runs over many windows first and gives its blocks back before those of the model are loaded.</summary>
    InTurn,

    /// <summary>What fits half of the memory stays; of the other a block at a time is loaded.</summary>
    Streamed,
}

/// <summary>
/// How the memory of a measurement is shared: the only place that decides it. Where a model and its reference fit together, both stay. Where the larger one fits by itself, they
/// take turns, and the reference's hidden states of a turn lie in what is left, or on disk. Else each has half.
/// </summary>
public sealed record PairMemory
{
    private PairMemory()
    {
    }

    /// <summary>How the blocks share memory.</summary>
    public required MemorySharing Sharing { get; init; }

    /// <summary>What the model has.</summary>
    public required ModelRunnerOptions Model { get; init; }

    /// <summary>What the reference has.</summary>
    public required ModelRunnerOptions Reference { get; init; }

    /// <summary>What the hidden states that are kept of the reference have.</summary>
    public required ModelRunnerOptions States { get; init; }

    /// <summary>Shares memory between a model and its reference.</summary>
    /// <param name="model">The model.</param>
    /// <param name="reference">The reference.</param>
    /// <param name="whole">The memory of both; without a number twice what one model has by itself.</param>
    public static PairMemory Of(CausalModel model, CausalModel reference, ModelRunnerOptions whole)
    {
        long budget = whole.MemoryBytes ?? 2 * whole.Budget;
        long own = ModelRunner.WeightBytes(model), other = ModelRunner.WeightBytes(reference);
        // The heads of both are at hand while either runs.
        long larger = Math.Max(own + ModelRunner.HeadBytes(reference), other + ModelRunner.HeadBytes(model));
        if (own + other <= budget) return With(MemorySharing.Together, budget, budget, budget - own - other);
        if (larger <= budget) return With(MemorySharing.InTurn, budget, budget, budget - larger);
        return With(MemorySharing.Streamed, budget / 2, budget / 2, budget / 2);

        PairMemory With(MemorySharing sharing, long mine, long its, long states) => new()
        {
            Sharing = sharing,
            Model = whole with { MemoryBytes = mine },
            Reference = whole with { MemoryBytes = its },
            States = whole with { MemoryBytes = states },
        };
    }

    /// <summary>
    /// Shares memory where models of one size run one after the other, the reference first, and its hidden states of all windows are kept: they lie in memory where that leaves a model
    /// its place, else on disk.
    /// </summary>
    /// <param name="reference">The reference.</param>
    /// <param name="states">Bytes of its hidden states.</param>
    /// <param name="whole">The memory of all; without a number twice what one model has by itself.</param>
    public static PairMemory OfKept(CausalModel reference, long states, ModelRunnerOptions whole)
    {
        long budget = whole.MemoryBytes ?? 2 * whole.Budget, left = budget - ModelRunner.WeightBytes(reference) - ModelRunner.HeadBytes(reference);
        long kept = states <= left ? states : 0;
        ModelRunnerOptions one = whole with { MemoryBytes = budget - kept };
        return new PairMemory { Sharing = MemorySharing.InTurn, Model = one, Reference = one, States = whole with { MemoryBytes = kept } };
    }
}
