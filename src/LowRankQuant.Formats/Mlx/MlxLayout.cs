using LowRankQuant.Formats.SmallFloats;

namespace LowRankQuant.Formats.Mlx;

/// <summary>Grid of one MLX layer.</summary>
/// <param name="Bits">Width of a code: 1, 2, 3, 4, 5, 6 or 8.</param>
/// <param name="GroupSize">Inputs per group.</param>
public sealed record MlxLayout(int Bits, int GroupSize)
{
    /// <summary>The format of small floats that codes are of; null for integers with scales and biases.</summary>
    public MicroFormat? Floats { get; init; }

    /// <summary>The code widths that MLX has; 7 is refused by it.</summary>
    public static IReadOnlyList<int> Widths { get; } = [1, 2, 3, 4, 5, 6, 8];
}
