using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>Pairs of 16-bit codes: exact for any codes of eight bits less any zero point.</summary>
internal readonly struct PairDot512 : IIntegerDot<Vector512<int>>
{
    public static int CodesPerWord => 2;

    public static bool Flushes => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Multiply(Vector512<int> sum, Vector512<int> x, Vector512<int> b) => Avx512BW.MultiplyAddAdjacent(x.AsInt16(), b.AsInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Add(Vector512<int> sum, Vector512<int> product) => sum + product;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Widen(Vector512<int> sum) => sum;
}

/// <summary>Bytes whose products are few bits: pairs are added in 16 bits, which the instruction would clip, so they must not come near.</summary>
internal readonly struct ByteDot512 : IIntegerDot<Vector512<int>>
{
    public static int CodesPerWord => 4;

    public static bool Flushes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Multiply(Vector512<int> sum, Vector512<int> x, Vector512<int> b) => Avx512BW.MultiplyAddAdjacent(x.AsByte(), b.AsSByte()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Add(Vector512<int> sum, Vector512<int> product) => (sum.AsInt16() + product.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Widen(Vector512<int> sum) => Avx512BW.MultiplyAddAdjacent(sum.AsInt16(), Vector512<short>.One);
}

/// <summary>As <see cref="PairDot512"/>.</summary>
internal readonly struct PairDot256 : IIntegerDot<Vector256<int>>
{
    public static int CodesPerWord => 2;

    public static bool Flushes => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Multiply(Vector256<int> sum, Vector256<int> x, Vector256<int> b) => Avx2.MultiplyAddAdjacent(x.AsInt16(), b.AsInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<int> product) => sum + product;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Widen(Vector256<int> sum) => sum;
}

/// <summary>As <see cref="ByteDot512"/>.</summary>
internal readonly struct ByteDot256 : IIntegerDot<Vector256<int>>
{
    public static int CodesPerWord => 4;

    public static bool Flushes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Multiply(Vector256<int> sum, Vector256<int> x, Vector256<int> b) => Avx2.MultiplyAddAdjacent(x.AsByte(), b.AsSByte()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<int> product) => (sum.AsInt16() + product.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Widen(Vector256<int> sum) => Avx2.MultiplyAddAdjacent(sum.AsInt16(), Vector256<short>.One);
}

/// <summary>Bytes of any bits: four products and their sum in one instruction that clips nothing.</summary>
internal readonly struct VnniDot : IIntegerDot<Vector256<int>>
{
    public static int CodesPerWord => 4;

    public static bool Flushes => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Multiply(Vector256<int> sum, Vector256<int> x, Vector256<int> b) => AvxVnni.MultiplyWideningAndAdd(sum, x.AsByte(), b.AsSByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<int> product) => product;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Widen(Vector256<int> sum) => sum;
}
