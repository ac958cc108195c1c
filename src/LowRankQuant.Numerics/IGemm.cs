namespace LowRankQuant.Numerics;

/// <summary>A matrix product on raw row-major memory: c [m, n] = op(a) [m, k] op(b) [k, n], or += when accumulating.</summary>
internal unsafe interface IGemm
{
    /// <summary>Short name for reports.</summary>
    string Name { get; }

    /// <summary>The product on all threads of the pool. The result does not depend on their number.</summary>
    /// <param name="transposeA">a is stored [k, m].</param>
    /// <param name="transposeB">b is stored [n, k].</param>
    /// <param name="m">Rows of c.</param>
    /// <param name="n">Columns of c.</param>
    /// <param name="k">Inner dimension; 0 gives zeros, or leaves c when accumulating.</param>
    /// <param name="a">First element of a.</param>
    /// <param name="lda">Floats between rows of a as stored.</param>
    /// <param name="b">First element of b.</param>
    /// <param name="ldb">Floats between rows of b as stored.</param>
    /// <param name="c">First element of c.</param>
    /// <param name="ldc">Floats between rows of c.</param>
    /// <param name="accumulate">Add to c instead of overwriting it.</param>
    void Multiply(bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate);

    /// <summary>The same product on the calling thread alone, for use inside a chunk of work.</summary>
    void MultiplySerial(bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate);
}

/// <summary>A matrix product of bfloat16 numbers, added up in 32-bit floats: c [m, n] (+)= op(a) [m, k] op(b) [k, n]. Arguments are those of <see cref="IGemm"/>.</summary>
internal unsafe interface IHalfGemm
{
    /// <summary>Whether the processor multiplies such numbers by instructions of its own, so that it takes less time than floats do.</summary>
    bool HasInstructions { get; }

    /// <summary>The product on all threads of the pool. The result does not depend on their number.</summary>
    void MultiplyHalf(bool transposeA, bool transposeB, int m, int n, int k, ushort* a, int lda, ushort* b, int ldb, float* c, int ldc, bool accumulate);
}
