namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>The operands of one product c = op(a) op(b), or c += op(a) op(b); see <see cref="IGemm"/>.</summary>
internal unsafe struct GemmProblem
{
    public bool TransposeA;
    public bool TransposeB;
    public bool Accumulate;
    public int M;
    public int N;
    public int K;
    public float* A;
    public float* B;
    public float* C;

    // Wider than the interface's int so that products of a row and a stride cannot overflow.
    public nint Lda;
    public nint Ldb;
    public nint Ldc;
}
