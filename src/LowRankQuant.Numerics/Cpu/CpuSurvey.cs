using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using LowRankQuant.Numerics.Kernels.Blas;
using LowRankQuant.Numerics.Kernels.OneDnn;

namespace LowRankQuant.Numerics.Cpu;

/// <summary>What the processor and the libraries here offer.</summary>
public static class CpuSurvey
{
    /// <summary>Instructions that matter to products, and whether .NET reaches them here.</summary>
    public static IReadOnlyList<(string Name, bool Has)> Instructions { get; } = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 or Architecture.X86 =>
        [
            ("AVX2 and FMA", Avx2.IsSupported && Fma.IsSupported), ("AVX-512", Avx512F.IsSupported), ("AVX-512 VBMI", Avx512Vbmi.IsSupported), ("AVX-VNNI", AvxVnni.IsSupported),
        ],
        Architecture.Arm64 => [("AdvSIMD", System.Runtime.Intrinsics.Arm.AdvSimd.IsSupported), ("8-bit dot products", System.Runtime.Intrinsics.Arm.Dp.IsSupported)],
        _ => [],
    };

    /// <summary>Looks for the library of a kind of kernels.</summary>
    /// <param name="kind"><see cref="CpuKernelKind.Blas"/> or <see cref="CpuKernelKind.OneDnn"/>.</param>
    /// <param name="library">Its name or path; null for the usual names.</param>
    public static CpuLibrary Find(CpuKernelKind kind, string? library = null)
    {
        using var pool = new WorkerPool(1);
        try
        {
            if (kind == CpuKernelKind.Blas)
            {
                var blas = BlasGemm.Load(library, pool);
                return new CpuLibrary(blas.Library, blas.Name, false);
            }
            var oneDnn = OneDnnLibrary.Load(library);
            return new CpuLibrary(oneDnn.File, oneDnn.Name, oneDnn.HasHalf);
        }
        catch (DllNotFoundException failure)
        {
            return new CpuLibrary(null, failure.Message, false);
        }
    }
}

/// <summary>A library of matrix products.</summary>
/// <param name="File">Where it was found; null where it was not.</param>
/// <param name="Description">Version and instructions, or why it cannot be used and what would help.</param>
/// <param name="MultipliesHalf">Whether its bf16 products are faster than those of floats here.</param>
public sealed record CpuLibrary(string? File, string Description, bool MultipliesHalf);
