namespace LowRankQuant.Numerics.Kernels;

/// <summary>A matrix product of bfloat16 numbers, added up in 32-bit floats: c [m, n] (+)= op(a) [m, k] op(b) [k, n]. Arguments are those of <see cref="IGemm"/>.</summary>
internal unsafe interface IHalfGemm
{
    /// <summary>The product on all threads of the pool. The result does not depend on their number.</summary>
    void MultiplyHalf(bool transposeA, bool transposeB, int m, int n, int k, ushort* a, int lda, ushort* b, int ldb, float* c, int ldc, bool accumulate);
}
