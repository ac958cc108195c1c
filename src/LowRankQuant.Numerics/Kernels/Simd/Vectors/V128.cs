using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace LowRankQuant.Numerics.Kernels.Simd.Vectors;

/// <summary>Registers of 128 bits.</summary>
internal readonly unsafe struct V128 : IVector<V128>, IWidening<V128, D128>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private readonly Vector128<float> _v;

    [MethodImpl(Inline)]
    private V128(Vector128<float> v) => _v = v;

    public static string Name => AdvSimd.IsSupported ? "AdvSimd" : "128 bits";

    public static int Count
    {
        [MethodImpl(Inline)]
        get => Vector128<float>.Count;
    }

    public static bool ManyRegisters
    {
        [MethodImpl(Inline)]
        get => AdvSimd.IsSupported;
    }

    public static V128 Zero
    {
        [MethodImpl(Inline)]
        get => new(Vector128<float>.Zero);
    }

    public static V128 Indices
    {
        [MethodImpl(Inline)]
        get => new(Vector128<float>.Indices);
    }

    [MethodImpl(Inline)]
    public static V128 Create(float x) => new(Vector128.Create(x));

    [MethodImpl(Inline)]
    public static V128 Load(float* p) => new(Vector128.Load(p));

    [MethodImpl(Inline)]
    public static V128 Load(float* p, int left) => left >= Vector128<float>.Count ? Load(p) : LoadPart(p, left);

    [MethodImpl(Inline)]
    public void Store(float* p) => _v.Store(p);

    [MethodImpl(Inline)]
    public void Store(float* p, int left)
    {
        if (left >= Vector128<float>.Count) _v.Store(p);
        else StorePart(p, left);
    }

    [MethodImpl(Inline)]
    public static V128 operator +(V128 a, V128 b) => new(a._v + b._v);

    [MethodImpl(Inline)]
    public static V128 operator -(V128 a, V128 b) => new(a._v - b._v);

    [MethodImpl(Inline)]
    public static V128 operator *(V128 a, V128 b) => new(a._v * b._v);

    [MethodImpl(Inline)]
    public static V128 operator /(V128 a, V128 b) => new(a._v / b._v);

    [MethodImpl(Inline)]
    public static V128 operator &(V128 a, V128 b) => new(a._v & b._v);

    [MethodImpl(Inline)]
    public static V128 MultiplyAdd(V128 a, V128 b, V128 c) => new(Vector128.MultiplyAddEstimate(a._v, b._v, c._v));

    [MethodImpl(Inline)]
    public static V128 Min(V128 a, V128 b) => new(Vector128.MinNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static V128 Max(V128 a, V128 b) => new(Vector128.MaxNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static V128 Abs(V128 a) => new(Vector128.Abs(a._v));

    [MethodImpl(Inline)]
    public static V128 Sqrt(V128 a) => new(Vector128.Sqrt(a._v));

    [MethodImpl(Inline)]
    public static V128 Round(V128 a) => new(Vector128.Round(a._v));

    [MethodImpl(Inline)]
    public static V128 LessThan(V128 a, V128 b) => new(Vector128.LessThan(a._v, b._v));

    [MethodImpl(Inline)]
    public static bool AnyLessThan(V128 a, V128 b) => Vector128.LessThanAny(a._v, b._v);

    [MethodImpl(Inline)]
    public static V128 LessThanOrEqual(V128 a, V128 b) => new(Vector128.LessThanOrEqual(a._v, b._v));

    [MethodImpl(Inline)]
    public static V128 Select(V128 mask, V128 whenSet, V128 whenClear) =>
        new(Vector128.ConditionalSelect(mask._v, whenSet._v, whenClear._v));

    [MethodImpl(Inline)]
    public static V128 ScaleByPowerOfTwo(V128 x, V128 k)
    {
        // Two factors, since 2^k itself may lie outside the range of normal numbers.
        Vector128<float> half = Vector128.Round(k._v * Vector128.Create(0.5f));
        return new(x._v * PowerOfTwo(half) * PowerOfTwo(k._v - half));
    }

    [MethodImpl(Inline)]
    public static V128 SwapPairs(V128 a) => new(Vector128.Shuffle(a._v, Vector128.Create(1, 0, 3, 2)));

    [MethodImpl(Inline)]
    public static float Sum(V128 a) => Vector128.Sum(a._v);

    [MethodImpl(Inline)]
    public static float Largest(V128 a)
    {
        return MathF.Max(MathF.Max(a._v[0], a._v[1]), MathF.Max(a._v[2], a._v[3]));
    }

    [MethodImpl(Inline)]
    public static void Widen(V128 x, out D128 lower, out D128 upper)
    {
        lower = new D128(Vector128.WidenLower(x._v));
        upper = new D128(Vector128.WidenUpper(x._v));
    }

    [MethodImpl(Inline)]
    private static Vector128<float> PowerOfTwo(Vector128<float> k) =>
        ((Vector128.ConvertToInt32Native(k) + Vector128.Create(127)) << 23).AsSingle();

    [MethodImpl(Inline)]
    private static V128 LoadPart(float* p, int left) =>
        new(Vector128.Create(left > 0 ? p[0] : 0, left > 1 ? p[1] : 0, left > 2 ? p[2] : 0, 0));

    [MethodImpl(Inline)]
    private void StorePart(float* p, int left)
    {
        if (left > 0) p[0] = _v[0];
        if (left > 1) p[1] = _v[1];
        if (left > 2) p[2] = _v[2];
    }
}

/// <summary>Doubles of 128 bits.</summary>
internal readonly struct D128 : IDoubleVector<D128>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private readonly Vector128<double> _v;

    [MethodImpl(Inline)]
    public D128(Vector128<double> v) => _v = v;

    public static D128 Zero
    {
        [MethodImpl(Inline)]
        get => new(Vector128<double>.Zero);
    }

    [MethodImpl(Inline)]
    public static D128 Create(double x) => new(Vector128.Create(x));

    [MethodImpl(Inline)]
    public static D128 operator +(D128 a, D128 b) => new(a._v + b._v);

    [MethodImpl(Inline)]
    public static D128 operator -(D128 a, D128 b) => new(a._v - b._v);

    [MethodImpl(Inline)]
    public static D128 MultiplyAdd(D128 a, D128 b, D128 c) => new(Vector128.MultiplyAddEstimate(a._v, b._v, c._v));

    [MethodImpl(Inline)]
    public static D128 operator *(D128 a, D128 b) => new(a._v * b._v);

    [MethodImpl(Inline)]
    public static D128 Max(D128 a, D128 b) => new(Vector128.MaxNative(a._v, b._v));

    [MethodImpl(Inline)]
    public static D128 Round(D128 a) => new(Vector128.Round(a._v));

    [MethodImpl(Inline)]
    public static D128 ScaleByPowerOfTwo(D128 x, D128 k)
    {
        // 3 2^51 + k holds k in its lowest bits, from where it is shifted into the exponent.
        Vector128<double> shifted = k._v + Vector128.Create(6755399441055744.0);
        return new(x._v * ((shifted.AsInt64() + Vector128.Create(1023L)) << 52).AsDouble());
    }

    [MethodImpl(Inline)]
    public static double Sum(D128 a) => Vector128.Sum(a._v);
}
