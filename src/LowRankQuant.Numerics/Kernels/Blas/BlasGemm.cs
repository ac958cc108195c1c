using System.Runtime.InteropServices;
using LowRankQuant.Numerics.Kernels.Simd.Gemm;

namespace LowRankQuant.Numerics.Kernels.Blas;

/// <summary>Matrix products by a system BLAS library with the C interface (cblas_sgemm).</summary>
internal sealed unsafe class BlasGemm : IGemm
{
    private const int RowMajor = 101;
    private const int NoTranspose = 111;
    private const int Transpose = 112;
    private static readonly string[] UsualNames =
        ["libopenblas.so.0", "libopenblas.so", "libblas.so.3", "mkl_rt", "libopenblas", "/System/Library/Frameworks/Accelerate.framework/Accelerate"];

    private readonly delegate* unmanaged[Cdecl]<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> _sgemm;
    private readonly ManagedGemm _managed;

    private BlasGemm(string library, nint handle, nint sgemm, WorkerPool pool)
    {
        // Order, transposed a, transposed b, m, n, k, factor of the product, a, lda, b, ldb, factor of c, c, ldc.
        _sgemm = (delegate* unmanaged[Cdecl]<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)sgemm;
        _managed = new ManagedGemm(pool);
        if (NativeLibrary.TryGetExport(handle, "openblas_set_num_threads", out nint setThreads))
        {
            ((delegate* unmanaged[Cdecl]<int, void>)setThreads)(pool.Threads);
        }
        Library = library;
        Name = NativeLibrary.TryGetExport(handle, "openblas_get_corename", out nint core) ? $"blas {library} ({Text(core)})" : $"blas {library}";
    }

    public string Name { get; }

    /// <summary>The name under which the library was found.</summary>
    public string Library { get; }

    /// <summary>Loads the library.</summary>
    /// <param name="library">Path or name; null tries the usual names.</param>
    /// <param name="pool">Gives the number of threads, where the library lets it be set.</param>
    /// <exception cref="DllNotFoundException">No library with cblas_sgemm was found; the message names what was tried.</exception>
    public static BlasGemm Load(string? library, WorkerPool pool)
    {
        ArgumentNullException.ThrowIfNull(pool);
        string[] names = library is null ? UsualNames : [library];
        var tried = new List<string>(names.Length);
        foreach (string name in names)
        {
            // The handle is kept for the life of the process: unloading a library that runs threads is not safe.
            if (!NativeLibrary.TryLoad(name, typeof(BlasGemm).Assembly, null, out nint handle)) tried.Add($"'{name}' (not found)");
            else if (!NativeLibrary.TryGetExport(handle, "cblas_sgemm", out nint sgemm)) tried.Add($"'{name}' (has no function cblas_sgemm)");
            else return new BlasGemm(name, handle, sgemm, pool);
        }
        throw new DllNotFoundException(
            $"No BLAS library could be used; tried {string.Join(", ", tried)}. " +
            "Install OpenBLAS, name a library by its path, or use the managed kernels.");
    }

    public void Multiply(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate)
    {
        // Libraries differ in how they treat empty operands and leading dimensions of nothing.
        if (m <= 0 || n <= 0 || k <= 0)
        {
            _managed.Multiply(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
            return;
        }
        int opA = transposeA ? Transpose : NoTranspose, opB = transposeB ? Transpose : NoTranspose;
        _sgemm(RowMajor, opA, opB, m, n, k, 1, a, lda, b, ldb, accumulate ? 1 : 0, c, ldc);
    }

    /// <summary>Managed code: a library's own threads would be started from every worker.</summary>
    public void MultiplySerial(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate) =>
        _managed.MultiplySerial(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate);

    private static string Text(nint function) => Marshal.PtrToStringAnsi((nint)((delegate* unmanaged[Cdecl]<byte*>)function)()) ?? "";
}
