namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>
/// Exact sums of products of codes over one run, for a tile of the result. Both operands lie in panels of 32-bit words, one word of every row (or output) after the other: a
/// word holds either two signed codes of 16 bits, or four codes of 8 bits, unsigned of the activations and signed of the weight.
/// </summary>
internal unsafe interface IIntegerTile
{
    /// <summary>Rows of a tile.</summary>
    static abstract int Rows { get; }

    /// <summary>Outputs of a tile; a multiple of eight.</summary>
    static abstract int Columns { get; }

    /// <summary>Codes of a word: 2 or 4.</summary>
    static abstract int CodesPerWord { get; }

    /// <summary>sums [Rows, Columns] = sum over the words.</summary>
    /// <param name="words">Words of the run, at least one.</param>
    /// <param name="a">Activations, [words, Rows].</param>
    /// <param name="b">Weights, [words, Columns].</param>
    /// <param name="flush">Words whose products fit into partial sums of 16 bits, where the tile has such.</param>
    /// <param name="sums">Overwritten.</param>
    static abstract void Multiply(int words, int* a, int* b, int flush, int* sums);
}

/// <summary>The multiply-add of a tile on registers V of integers. Products and additions are apart, so that a tile can keep them so.</summary>
internal interface IIntegerDot<V>
    where V : struct
{
    /// <summary>See <see cref="IIntegerTile.CodesPerWord"/>.</summary>
    static abstract int CodesPerWord { get; }

    /// <summary>Whether sums overflow unless they are flushed.</summary>
    static abstract bool Flushes { get; }

    /// <summary>The products of words of x and b, or, where one instruction does both, added to the sum already.</summary>
    static abstract V Multiply(V sum, V x, V b);

    /// <summary>The sum with what <see cref="Multiply"/> gave.</summary>
    static abstract V Add(V sum, V product);

    /// <summary>Sums as 32-bit integers, one for each word.</summary>
    static abstract V Widen(V sum);
}
