using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using LowRankQuant.Numerics.Kernels.Simd.Integers;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Vectorised kernels on the threads of a pool, with the widest registers of the processor.</summary>
/// <param name="pool">The threads.</param>
/// <param name="gemm">Matrix products.</param>
/// <param name="maximumBits">Registers wider than this are not used: 512, 256 or 128.</param>
/// <param name="integers">Products of integer codes; null for those of the same registers.</param>
internal sealed class SimdKernels(WorkerPool pool, IGemm gemm, int maximumBits = 512, IIntegerGemm? integers = null) : CheckedKernels(Create(pool, gemm, maximumBits, integers))
{
    /// <summary>Whether registers of so many bits can be used here.</summary>
    public static bool Supports(int bits) => bits switch
    {
        512 => Vector512.IsHardwareAccelerated && Avx512F.IsSupported,
        256 => Vector256.IsHardwareAccelerated && Avx2.IsSupported,
        128 => true,
        _ => false,
    };

    private static IKernels Create(WorkerPool pool, IGemm gemm, int maximumBits, IIntegerGemm? integers)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumBits, 128);
        integers ??= new IntegerGemm(pool, maximumBits);
        if (maximumBits >= 512 && Supports(512)) return new VectorKernels<V512, D512>(pool, gemm, integers);
        if (maximumBits >= 256 && Supports(256)) return new VectorKernels<V256, D256>(pool, gemm, integers);
        return new VectorKernels<V128, D128>(pool, gemm, integers);
    }
}
