using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;

namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>Elements of one register, whatever its width and their type, so that a loop is written once.</summary>
internal interface IWide<TSelf, T>
    where TSelf : struct, IWide<TSelf, T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    /// <summary>Elements of a register.</summary>
    static abstract int Count { get; }

    static abstract TSelf Create(T value);

    static abstract TSelf Load(ref T source, nuint at);

    void Store(ref T target, nuint at);

    /// <summary>a b + c, fused where the machine can.</summary>
    static abstract TSelf MultiplyAdd(TSelf a, TSelf b, TSelf c);

    /// <summary>max(a, |b|) of numbers: one instruction for the larger, where a NaN among them would take three.</summary>
    static abstract TSelf LargerMagnitude(TSelf a, TSelf b);

    /// <summary>The sum of all elements.</summary>
    T Sum();
}

/// <summary>512 bits, where the machine has such registers. <see cref="Vector{T}"/> stops at 256.</summary>
internal readonly struct Wide512<T>(Vector512<T> value) : IWide<Wide512<T>, T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly Vector512<T> _value = value;

    public static int Count => Vector512<T>.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Wide512<T> Create(T value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Wide512<T> Load(ref T source, nuint at) => new(Vector512.LoadUnsafe(ref source, at));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(ref T target, nuint at) => _value.StoreUnsafe(ref target, at);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Wide512<T> MultiplyAdd(Wide512<T> a, Wide512<T> b, Wide512<T> c) => typeof(T) == typeof(double)
        ? new(Vector512.FusedMultiplyAdd(a._value.AsDouble(), b._value.AsDouble(), c._value.AsDouble()).As<double, T>())
        : new(Vector512.FusedMultiplyAdd(a._value.AsSingle(), b._value.AsSingle(), c._value.AsSingle()).As<float, T>());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Wide512<T> LargerMagnitude(Wide512<T> a, Wide512<T> b) => new(Vector512.MaxNative(a._value, Vector512.Abs(b._value)));

    public T Sum() => Vector512.Sum(_value);
}

/// <summary>The registers of <see cref="Vector{T}"/>.</summary>
internal readonly struct WideVector<T>(Vector<T> value) : IWide<WideVector<T>, T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly Vector<T> _value = value;

    public static int Count => Vector<T>.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static WideVector<T> Create(T value) => new(Vector.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static WideVector<T> Load(ref T source, nuint at) => new(Vector.LoadUnsafe(ref source, at));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(ref T target, nuint at) => _value.StoreUnsafe(ref target, at);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static WideVector<T> MultiplyAdd(WideVector<T> a, WideVector<T> b, WideVector<T> c) =>
        new(VectorKernels.MultiplyAdd(a._value, b._value, c._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static WideVector<T> LargerMagnitude(WideVector<T> a, WideVector<T> b) => new(Vector.MaxNative(a._value, Vector.Abs(b._value)));

    public T Sum() => Vector.Sum(_value);
}
