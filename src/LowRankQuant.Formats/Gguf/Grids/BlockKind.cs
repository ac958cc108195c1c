namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>How the blocks of a type turn codes into values. d and m are halves, k and n integers of a sub-block.</summary>
internal enum BlockKind
{
    /// <summary>d * c, or d * k * c, with a signed code c.</summary>
    Signed,

    /// <summary>d * u + m, with an unsigned code u.</summary>
    HalfMinimum,

    /// <summary>d * k * u - dmin * n, with an unsigned code u.</summary>
    IntegerMinimum,
}
