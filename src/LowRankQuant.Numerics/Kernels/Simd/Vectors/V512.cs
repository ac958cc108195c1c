using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LowRankQuant.Numerics.Kernels.Simd.Vectors;

/// <summary>Registers of 512 bits.</summary>
internal readonly unsafe struct V512 : IVector<V512>, IWidening<V512, D512>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private readonly Vector512<float> _v;

    [MethodImpl(Inline)]
    private V512(Vector512<float> v) => _v = v;

    public static string Name => "AVX-512";

    public static int Count
    {
        [MethodImpl(Inline)]
        get => Vector512<float>.Count;
    }

    public static bool ManyRegisters
    {
        [MethodImpl(Inline)]
        get => true;
    }

    public static V512 Zero
    {
        [MethodImpl(Inline)]
        get => new(Vector512<float>.Zero);
    }

    public static V512 Indices
    {
        [MethodImpl(Inline)]
        get => new(Vector512<float>.Indices);
    }

    [MethodImpl(Inline)]
    public static V512 Create(float x) => new(Vector512.Create(x));

    [MethodImpl(Inline)]
    public static V512 Load(float* p) => new(Vector512.Load(p));

    [MethodImpl(Inline)]
    public static V512 Load(float* p, int left) => left >= Vector512<float>.Count ? Load(p) : LoadPart(p, left);

    [MethodImpl(Inline)]
    public void Store(float* p) => _v.Store(p);

    [MethodImpl(Inline)]
    public void Store(float* p, int left)
    {
        if (left >= Vector512<float>.Count) _v.Store(p);
        else StorePart(p, left);
    }

    [MethodImpl(Inline)]
    public static V512 operator +(V512 a, V512 b) => new(a._v + b._v);

    [MethodImpl(Inline)]
    public static V512 operator -(V512 a, V512 b) => new(a._v - b._v);

    [MethodImpl(Inline)]
    public static V512 operator *(V512 a, V512 b) => new(a._v * b._v);

    [MethodImpl(Inline)]
    public static V512 operator /(V512 a, V512 b) => new(a._v / b._v);

    [MethodImpl(Inline)]
    public static V512 operator &(V512 a, V512 b) => new(a._v & b._v);

    [MethodImpl(Inline)]
    public static V512 MultiplyAdd(V512 a, V512 b, V512 c) => new(Vector512.MultiplyAddEstimate(a._v, b._v, c._v));

    [MethodImpl(Inline)]
    public static V512 Min(V512 a, V512 b) => new(Vector512.MinNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static V512 Max(V512 a, V512 b) => new(Vector512.MaxNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static V512 Abs(V512 a) => new(Vector512.Abs(a._v));

    [MethodImpl(Inline)]
    public static V512 Sqrt(V512 a) => new(Vector512.Sqrt(a._v));

    [MethodImpl(Inline)]
    public static V512 Round(V512 a) => new(Vector512.Round(a._v));

    [MethodImpl(Inline)]
    public static V512 LessThan(V512 a, V512 b) => new(Vector512.LessThan(a._v, b._v));

    [MethodImpl(Inline)]
    public static bool AnyLessThan(V512 a, V512 b) => Vector512.LessThanAny(a._v, b._v);

    [MethodImpl(Inline)]
    public static V512 LessThanOrEqual(V512 a, V512 b) => new(Vector512.LessThanOrEqual(a._v, b._v));

    [MethodImpl(Inline)]
    public static V512 Select(V512 mask, V512 whenSet, V512 whenClear) =>
        new(Vector512.ConditionalSelect(mask._v, whenSet._v, whenClear._v));

    [MethodImpl(Inline)]
    public static V512 ScaleByPowerOfTwo(V512 x, V512 k)
    {
        if (Avx512F.IsSupported) return new(Avx512F.Scale(x._v, k._v));
        // Two factors, since 2^k itself may lie outside the range of normal numbers.
        Vector512<float> half = Vector512.Round(k._v * Vector512.Create(0.5f));
        return new(x._v * PowerOfTwo(half) * PowerOfTwo(k._v - half));
    }

    [MethodImpl(Inline)]
    public static V512 SwapPairs(V512 a) => new(Vector512.Shuffle(a._v, Vector512.Create(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)));

    [MethodImpl(Inline)]
    public static float Sum(V512 a) => Vector512.Sum(a._v);

    [MethodImpl(Inline)]
    public static float Largest(V512 a)
    {
        Vector256<float> eight = Vector256.MaxNative(a._v.GetLower(), a._v.GetUpper());
        Vector128<float> four = Vector128.MaxNative(eight.GetLower(), eight.GetUpper());
        return MathF.Max(MathF.Max(four[0], four[1]), MathF.Max(four[2], four[3]));
    }

    [MethodImpl(Inline)]
    public static void Widen(V512 x, out D512 lower, out D512 upper)
    {
        lower = new D512(Vector512.WidenLower(x._v));
        upper = new D512(Vector512.WidenUpper(x._v));
    }

    [MethodImpl(Inline)]
    private static Vector512<float> PowerOfTwo(Vector512<float> k) =>
        ((Vector512.ConvertToInt32Native(k) + Vector512.Create(127)) << 23).AsSingle();

    [MethodImpl(Inline)]
    private static V512 LoadPart(float* p, int left) => new(Avx512F.MaskLoad(p, First(left), Vector512<float>.Zero));

    [MethodImpl(Inline)]
    private void StorePart(float* p, int left) => Avx512F.MaskStore(p, First(left), _v);

    [MethodImpl(Inline)]
    private static Vector512<float> First(int left) =>
        Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(left)).AsSingle();
}

/// <summary>Doubles of 512 bits.</summary>
internal readonly struct D512 : IDoubleVector<D512>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private readonly Vector512<double> _v;

    [MethodImpl(Inline)]
    public D512(Vector512<double> v) => _v = v;

    public static D512 Zero
    {
        [MethodImpl(Inline)]
        get => new(Vector512<double>.Zero);
    }

    [MethodImpl(Inline)]
    public static D512 Create(double x) => new(Vector512.Create(x));

    [MethodImpl(Inline)]
    public static D512 operator +(D512 a, D512 b) => new(a._v + b._v);

    [MethodImpl(Inline)]
    public static D512 operator -(D512 a, D512 b) => new(a._v - b._v);

    [MethodImpl(Inline)]
    public static D512 MultiplyAdd(D512 a, D512 b, D512 c) => new(Vector512.MultiplyAddEstimate(a._v, b._v, c._v));

    [MethodImpl(Inline)]
    public static D512 operator *(D512 a, D512 b) => new(a._v * b._v);

    [MethodImpl(Inline)]
    public static D512 Max(D512 a, D512 b) => new(Vector512.MaxNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static D512 Round(D512 a) => new(Vector512.Round(a._v));

    [MethodImpl(Inline)]
    public static D512 ScaleByPowerOfTwo(D512 x, D512 k)
    {
        if (Avx512F.IsSupported) return new(Avx512F.Scale(x._v, k._v));
        // 3 2^51 + k holds k in its lowest bits, from where it is shifted into the exponent.
        Vector512<double> shifted = k._v + Vector512.Create(6755399441055744.0);
        return new(x._v * ((shifted.AsInt64() + Vector512.Create(1023L)) << 52).AsDouble());
    }

    [MethodImpl(Inline)]
    public static double Sum(D512 a) => Vector512.Sum(a._v);
}
