namespace LowRankQuant.Numerics.Cpu;

/// <summary>Which implementation of the kernels a <see cref="CpuDevice"/> uses.</summary>
public enum CpuKernelKind
{
    /// <summary>Vectorised managed code.</summary>
    Simd,

    /// <summary>The reference that reads like the formulas; slow.</summary>
    Scalar,

    /// <summary>Vectorised managed code with matrix products by a system BLAS library.</summary>
    Blas,

    /// <summary>Vectorised managed code with matrix products by oneDNN, those of bfloat16 included.</summary>
    OneDnn,
}

/// <summary>Settings of a <see cref="CpuDevice"/>.</summary>
public sealed record CpuDeviceOptions
{
    /// <summary>Threads to use; null for one per core. Never changes a result.</summary>
    public int? Threads { get; init; }

    /// <summary>Which kernels to use.</summary>
    public CpuKernelKind Kernels { get; init; } = CpuKernelKind.Simd;

    /// <summary>Path or name of the BLAS library for <see cref="CpuKernelKind.Blas"/>; null tries the usual names.</summary>
    public string? BlasLibrary { get; init; }

    /// <summary>Path or name of the library for <see cref="CpuKernelKind.OneDnn"/>; null tries the usual names.</summary>
    public string? OneDnnLibrary { get; init; }

    internal IKernels CreateKernels(WorkerPool pool) => Kernels switch
    {
        CpuKernelKind.Simd => new Numerics.Kernels.Simd.SimdKernels(pool, new Numerics.Kernels.Simd.Gemm.ManagedGemm(pool)),
        CpuKernelKind.Scalar => new Numerics.Kernels.Scalar.ScalarKernels(),
        CpuKernelKind.Blas => new Numerics.Kernels.Simd.SimdKernels(pool, Numerics.Kernels.Blas.BlasGemm.Load(BlasLibrary, pool)),
        CpuKernelKind.OneDnn => OneDnn(Numerics.Kernels.OneDnn.OneDnnLibrary.Load(OneDnnLibrary), pool),
        _ => throw new ArgumentOutOfRangeException(nameof(pool), Kernels, "Unknown kind of kernels."),
    };

    // Codes too, where the library multiplies them exactly.
    private static Numerics.Kernels.Simd.SimdKernels OneDnn(Numerics.Kernels.OneDnn.OneDnnLibrary library, WorkerPool pool)
    {
        var managed = new Numerics.Kernels.Simd.Integers.IntegerGemm(pool);
        bool exact = Numerics.Kernels.OneDnn.OneDnnIntegerGemm.IsExact(library);
        return new(pool, new Numerics.Kernels.OneDnn.OneDnnGemm(library, pool), integers: exact ? new Numerics.Kernels.OneDnn.OneDnnIntegerGemm(library, pool, managed) : managed);
    }
}
