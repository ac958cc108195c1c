namespace LowRankQuant.Numerics.Kernels.Blas;

/// <summary>Matrix products by a system BLAS library.</summary>
internal static class BlasGemm
{
    /// <summary>Loads the library.</summary>
    public static IGemm Load(string? library, WorkerPool pool) => throw new NotSupportedException($"BLAS library '{library}' on {pool.Threads} threads.");
}
