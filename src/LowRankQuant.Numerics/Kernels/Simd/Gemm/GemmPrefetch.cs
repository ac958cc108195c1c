using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>Asks for a tile of c while its sums are still being formed: it is written at the end, when nothing is left to hide a wait.</summary>
internal static unsafe class GemmPrefetch
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Rows(float* c, nint ldc, int rows, int columns)
    {
        if (!Sse.IsSupported) return;
        for (int i = 0; i < rows; i++, c += ldc)
        {
            Sse.Prefetch0(c);
            if (columns > 16) Sse.Prefetch0(c + 16);
            if (columns > 32) Sse.Prefetch0(c + 32);
            // The row's end lies in one more line where rows do not start on lines.
            Sse.Prefetch0(c + columns - 1);
        }
    }
}
