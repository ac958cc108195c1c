namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>The innermost product: one tile of c in registers, from a panel of a and a panel of b.</summary>
internal unsafe interface IGemmKernel
{
    /// <summary>Rows of a tile.</summary>
    static abstract int Rows { get; }

    /// <summary>Columns of a tile.</summary>
    static abstract int Columns { get; }

    /// <summary>Columns of one vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>Largest stretch of the inner dimension that is summed in registers before it is added to c.</summary>
    static abstract int InnerBlock { get; }

    /// <summary>Rows of a that are packed at a time; with <see cref="InnerBlock"/> they must fit the second-level cache.</summary>
    static abstract int RowBlock { get; }

    /// <summary>c [Rows, Columns] = (or +=) a b, with a packed [k, Rows] and b packed [k, Columns].</summary>
    static abstract void Tile(int k, float* a, float* b, float* c, nint ldc, bool accumulate);

    /// <summary>The same for the right edge: writes only the first <paramref name="columns"/> columns, rounded up to whole vectors.</summary>
    static abstract void NarrowTile(int k, float* a, float* b, float* c, nint ldc, int columns, bool accumulate);
}
