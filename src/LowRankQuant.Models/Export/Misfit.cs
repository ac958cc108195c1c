namespace LowRankQuant.Models.Export;

/// <summary>Something that a container cannot hold exactly, or that its engines cannot load.</summary>
/// <param name="Item">Tensor, module or part of the model.</param>
/// <param name="Rule">What the container holds and what was found.</param>
/// <param name="Nearest">The nearest that fits, and how to get it.</param>
public sealed record Misfit(string Item, string Rule, string Nearest)
{
    /// <summary>One line for people.</summary>
    public override string ToString() => $"{Item}: {Rule}; {Nearest}.";
}
