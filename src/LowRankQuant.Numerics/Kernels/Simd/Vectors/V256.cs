using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd.Vectors;

/// <summary>Registers of 256 bits.</summary>
internal readonly unsafe struct V256 : IVector<V256>, IWidening<V256, D256>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private readonly Vector256<float> _v;

    [MethodImpl(Inline)]
    private V256(Vector256<float> v) => _v = v;

    public static string Name => "AVX2";

    public static int Count
    {
        [MethodImpl(Inline)]
        get => Vector256<float>.Count;
    }

    public static bool ManyRegisters
    {
        [MethodImpl(Inline)]
        get => Avx512F.VL.IsSupported;
    }

    public static V256 Zero
    {
        [MethodImpl(Inline)]
        get => new(Vector256<float>.Zero);
    }

    public static V256 Indices
    {
        [MethodImpl(Inline)]
        get => new(Vector256<float>.Indices);
    }

    [MethodImpl(Inline)]
    public static V256 Create(float x) => new(Vector256.Create(x));

    [MethodImpl(Inline)]
    public static V256 Load(float* p) => new(Vector256.Load(p));

    [MethodImpl(Inline)]
    public static V256 Load(float* p, int left) => left >= Vector256<float>.Count ? Load(p) : LoadPart(p, left);

    [MethodImpl(Inline)]
    public void Store(float* p) => _v.Store(p);

    [MethodImpl(Inline)]
    public void Store(float* p, int left)
    {
        if (left >= Vector256<float>.Count) _v.Store(p);
        else StorePart(p, left);
    }

    [MethodImpl(Inline)]
    public static V256 operator +(V256 a, V256 b) => new(a._v + b._v);

    [MethodImpl(Inline)]
    public static V256 operator -(V256 a, V256 b) => new(a._v - b._v);

    [MethodImpl(Inline)]
    public static V256 operator *(V256 a, V256 b) => new(a._v * b._v);

    [MethodImpl(Inline)]
    public static V256 operator /(V256 a, V256 b) => new(a._v / b._v);

    [MethodImpl(Inline)]
    public static V256 operator &(V256 a, V256 b) => new(a._v & b._v);

    [MethodImpl(Inline)]
    public static V256 MultiplyAdd(V256 a, V256 b, V256 c) => new(Vector256.MultiplyAddEstimate(a._v, b._v, c._v));

    [MethodImpl(Inline)]
    public static V256 Min(V256 a, V256 b) => new(Vector256.MinNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static V256 Max(V256 a, V256 b) => new(Vector256.MaxNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static V256 Abs(V256 a) => new(Vector256.Abs(a._v));

    [MethodImpl(Inline)]
    public static V256 Sqrt(V256 a) => new(Vector256.Sqrt(a._v));

    [MethodImpl(Inline)]
    public static V256 Round(V256 a) => new(Vector256.Round(a._v));

    [MethodImpl(Inline)]
    public static V256 LessThan(V256 a, V256 b) => new(Vector256.LessThan(a._v, b._v));

    [MethodImpl(Inline)]
    public static bool AnyLessThan(V256 a, V256 b) => Vector256.LessThanAny(a._v, b._v);

    [MethodImpl(Inline)]
    public static V256 LessThanOrEqual(V256 a, V256 b) => new(Vector256.LessThanOrEqual(a._v, b._v));

    [MethodImpl(Inline)]
    public static V256 Select(V256 mask, V256 whenSet, V256 whenClear) =>
        new(Vector256.ConditionalSelect(mask._v, whenSet._v, whenClear._v));

    [MethodImpl(Inline)]
    public static V256 ScaleByPowerOfTwo(V256 x, V256 k)
    {
        if (Avx512F.VL.IsSupported) return new(Avx512F.VL.Scale(x._v, k._v));
        // Two factors, since 2^k itself may lie outside the range of normal numbers.
        Vector256<float> half = Vector256.Round(k._v * Vector256.Create(0.5f));
        return new(x._v * PowerOfTwo(half) * PowerOfTwo(k._v - half));
    }

    [MethodImpl(Inline)]
    public static V256 SwapPairs(V256 a) => new(Vector256.Shuffle(a._v, Vector256.Create(1, 0, 3, 2, 5, 4, 7, 6)));

    [MethodImpl(Inline)]
    public static float Sum(V256 a) => Vector256.Sum(a._v);

    [MethodImpl(Inline)]
    public static float Largest(V256 a)
    {
        Vector128<float> four = Vector128.MaxNative(a._v.GetLower(), a._v.GetUpper());
        return MathF.Max(MathF.Max(four[0], four[1]), MathF.Max(four[2], four[3]));
    }

    [MethodImpl(Inline)]
    public static void Widen(V256 x, out D256 lower, out D256 upper)
    {
        lower = new D256(Vector256.WidenLower(x._v));
        upper = new D256(Vector256.WidenUpper(x._v));
    }

    [MethodImpl(Inline)]
    private static Vector256<float> PowerOfTwo(Vector256<float> k) =>
        ((Vector256.ConvertToInt32Native(k) + Vector256.Create(127)) << 23).AsSingle();

    [MethodImpl(Inline)]
    private static V256 LoadPart(float* p, int left) => new(Avx.MaskLoad(p, First(left)));

    [MethodImpl(Inline)]
    private void StorePart(float* p, int left) => Avx.MaskStore(p, First(left), _v);

    [MethodImpl(Inline)]
    private static Vector256<float> First(int left) =>
        Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(left)).AsSingle();
}

/// <summary>Doubles of 256 bits.</summary>
internal readonly struct D256 : IDoubleVector<D256>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private readonly Vector256<double> _v;

    [MethodImpl(Inline)]
    public D256(Vector256<double> v) => _v = v;

    public static D256 Zero
    {
        [MethodImpl(Inline)]
        get => new(Vector256<double>.Zero);
    }

    [MethodImpl(Inline)]
    public static D256 Create(double x) => new(Vector256.Create(x));

    [MethodImpl(Inline)]
    public static D256 operator +(D256 a, D256 b) => new(a._v + b._v);

    [MethodImpl(Inline)]
    public static D256 operator -(D256 a, D256 b) => new(a._v - b._v);

    [MethodImpl(Inline)]
    public static D256 MultiplyAdd(D256 a, D256 b, D256 c) => new(Vector256.MultiplyAddEstimate(a._v, b._v, c._v));

    [MethodImpl(Inline)]
    public static D256 operator *(D256 a, D256 b) => new(a._v * b._v);

    [MethodImpl(Inline)]
    public static D256 Max(D256 a, D256 b) => new(Vector256.MaxNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static D256 Round(D256 a) => new(Vector256.Round(a._v));

    [MethodImpl(Inline)]
    public static D256 ScaleByPowerOfTwo(D256 x, D256 k)
    {
        if (Avx512F.VL.IsSupported) return new(Avx512F.VL.Scale(x._v, k._v));
        // 3 2^51 + k holds k in its lowest bits, from where it is shifted into the exponent.
        Vector256<double> shifted = k._v + Vector256.Create(6755399441055744.0);
        return new(x._v * ((shifted.AsInt64() + Vector256.Create(1023L)) << 52).AsDouble());
    }

    [MethodImpl(Inline)]
    public static double Sum(D256 a) => Vector256.Sum(a._v);
}
