using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>Matrix products in managed vector code, with the widest vectors that the processor has.</summary>
internal sealed unsafe class ManagedGemm : IGemm
{
    // Below this many multiply-adds, waking the other threads costs more than they save.
    private const long SerialBelow = 1024 * 1024;

    // The same for few rows, where memory sets the pace.
    private const long FewRowsSerialBelow = 512 * 1024;
    private readonly WorkerPool _pool;
    private readonly GemmDriver _driver;
    private readonly GemmFewRows _fewRows = new();

    /// <summary>Creates the kernels.</summary>
    /// <param name="pool">Threads of <see cref="Multiply"/>.</param>
    /// <param name="maxVectorBits">
    /// Widest vectors to use: 512, 256, 128, or 0 for none (but in products of few rows). Narrower ones are taken where the processor lacks these.
    /// </param>
    public ManagedGemm(WorkerPool pool, int maxVectorBits = 512)
    {
        ArgumentNullException.ThrowIfNull(pool);
        _pool = pool;
        VectorBits = Widest(maxVectorBits);
        _driver = VectorBits switch
        {
            512 => new GemmDriver<GemmKernel512>(),
            256 => new GemmDriver<GemmKernel6x2<V256>>(),
            128 => new GemmDriver<GemmKernel6x2<V128>>(),
            _ => new GemmDriver<GemmKernelScalar>(),
        };
    }

    public string Name => VectorBits == 0 ? "managed scalar" : $"managed {VectorBits}-bit";

    /// <summary>Bits of the vectors in use; 0 for none.</summary>
    public int VectorBits { get; }

    public void Multiply(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate) =>
        Run(Problem(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate), IsSmall(m, n, k) ? null : _pool);

    public void MultiplySerial(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate) =>
        Run(Problem(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate), null);

    private static GemmProblem Problem(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate) =>
        new()
        {
            TransposeA = transposeA,
            TransposeB = transposeB,
            Accumulate = accumulate,
            M = m,
            N = n,
            K = k,
            A = a,
            B = b,
            C = c,
            Lda = lda,
            Ldb = ldb,
            Ldc = ldc,
        };

    private static bool IsSmall(int m, int n, int k) => (long)m * n * k < (m <= GemmFewRows.MaxRows ? FewRowsSerialBelow : SerialBelow);

    private static int Widest(int limit)
    {
        if (limit >= 512 && Vector512.IsHardwareAccelerated && Avx512F.IsSupported) return 512;
        if (limit >= 256 && Vector256.IsHardwareAccelerated && Fma.IsSupported) return 256;
        return limit >= 128 && Vector128.IsHardwareAccelerated ? 128 : 0;
    }

    private void Run(in GemmProblem problem, WorkerPool? pool)
    {
        if (problem.M <= 0 || problem.N <= 0) return;
        if (problem.K > 0)
        {
            if (problem.M <= GemmFewRows.MaxRows) _fewRows.Multiply(problem, pool);
            else _driver.Multiply(problem, pool);
            return;
        }
        if (problem.Accumulate) return;
        for (int i = 0; i < problem.M; i++) new Span<float>(problem.C + (i * problem.Ldc), problem.N).Clear();
    }
}
