namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

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

    /// <summary>The same product for a rectangle of c, of at most <paramref name="rows"/> rows and <paramref name="columns"/> columns.</summary>
    public readonly GemmProblem Part(int firstRow, int rows, int firstColumn, int columns)
    {
        GemmProblem part = this;
        part.M = Math.Min(rows, M - firstRow);
        part.N = Math.Min(columns, N - firstColumn);
        part.A += TransposeA ? firstRow : firstRow * Lda;
        part.B += TransposeB ? firstColumn * Ldb : firstColumn;
        part.C += (firstRow * Ldc) + firstColumn;
        return part;
    }

    /// <summary>The part of all sums from <paramref name="first"/> on, over at most <paramref name="count"/> products; parts after the first add to c.</summary>
    public readonly GemmProblem Inner(int first, int count)
    {
        GemmProblem part = this;
        part.K = Math.Min(count, K - first);
        part.A += TransposeA ? first * Lda : first;
        part.B += TransposeB ? first : first * Ldb;
        part.Accumulate |= first > 0;
        return part;
    }
}
