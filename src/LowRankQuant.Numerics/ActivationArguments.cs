using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics;

/// <summary>
/// Quantization of activations, see <see cref="ActivationGrid"/>. Every row consists of units, runs of columns of one size, each with a step and a zero point: of its own where
/// the grid is dynamic, else that of the same unit of every row.
/// </summary>
public readonly ref struct ActivationQuantizerArguments
{
    /// <summary>The grid.</summary>
    public required ActivationGrid Grid { get; init; }

    /// <summary>x, [rows, columns].</summary>
    public required Tensor X { get; init; }

    /// <summary>s: [rows, units], written by the forward pass, where the grid is dynamic; else [units].</summary>
    public required Tensor Step { get; init; }

    /// <summary>z, as many; a static one need not be whole and is used as clamp(round(z)).</summary>
    public required Tensor ZeroPoint { get; init; }
}

/// <summary>
/// Straight-through gradients of quantized activations, G = dloss/dx^, M = 1 where the rounded value lies within the clamp, ends included:
/// <code>
/// dx = G M, or G where a grid of compressed-tensors' rule is dynamic: it is made of the very values and clips none by more than half a step
/// ds = sum over the unit of G ((q - z) - M x/s)           (the paper's rule: q in the place of q - z)
/// dz = -s sum over the clipped values of the unit of G
/// </code>
/// Through the range, where s is not constant: dx += ds/n at the first largest value, -ds/n at the first least one (compressed-tensors: only if it is above, respectively below,
/// 0; paper: unless s is at its floor); symmetric: sign(x) ds/(n/2) at the first value of the largest magnitude.
/// Sums are in double precision, in an order that depends on the shape alone.
/// </summary>
public readonly ref struct ActivationQuantizerGradients
{
    /// <summary>G, [rows, columns].</summary>
    public required Tensor Upstream { get; init; }

    /// <summary>dx, [rows, columns], or null.</summary>
    public Tensor? Input { get; init; }

    /// <summary>Whether dx is added to what is there.</summary>
    public bool Accumulate { get; init; }

    /// <summary>Whether dx passes through the range; only of dynamic grids.</summary>
    public bool ThroughRange { get; init; }

    /// <summary>The part of ds of every unit of every row, [rows, units], overwritten; or null.</summary>
    public Tensor? Step { get; init; }

    /// <summary>The part of dz, [rows, units], overwritten; or null.</summary>
    public Tensor? ZeroPoint { get; init; }
}
