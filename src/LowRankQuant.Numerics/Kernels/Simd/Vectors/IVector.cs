namespace LowRankQuant.Numerics.Kernels.Simd.Vectors;

/// <summary>
/// Floats of one register, whatever its width, so that every formula is written once. A comparison gives all bits of a lane set or clear.
/// Min and Max return the second operand when either is not a number, so a variable goes second to let NaN through.
/// </summary>
internal unsafe interface IVector<V>
    where V : struct, IVector<V>
{
    /// <summary>Name of the instruction set for reports.</summary>
    static abstract string Name { get; }

    /// <summary>Lanes.</summary>
    static abstract int Count { get; }

    /// <summary>At least 32 registers of this width can be named.</summary>
    static abstract bool ManyRegisters { get; }

    static abstract V Zero { get; }

    /// <summary>0, 1, 2, ...</summary>
    static abstract V Indices { get; }

    static abstract V Create(float x);

    static abstract V Load(float* p);

    /// <summary>The first <paramref name="left"/> floats (all, if that is enough for the register), zeros after them. Reads no byte beyond.</summary>
    static abstract V Load(float* p, int left);

    void Store(float* p);

    /// <summary>Stores the first <paramref name="left"/> lanes, or all.</summary>
    void Store(float* p, int left);

    static abstract V operator +(V a, V b);

    static abstract V operator -(V a, V b);

    static abstract V operator *(V a, V b);

    /// <summary>The correctly rounded quotient.</summary>
    static abstract V operator /(V a, V b);

    static abstract V operator &(V a, V b);

    /// <summary>a b + c, rounded once where the processor can.</summary>
    static abstract V MultiplyAdd(V a, V b, V c);

    static abstract V Min(V a, V b);

    static abstract V Max(V a, V b);

    static abstract V Abs(V a);

    static abstract V Sqrt(V a);

    /// <summary>Nearest integer, halves to even.</summary>
    static abstract V Round(V a);

    static abstract V LessThan(V a, V b);

    static abstract bool AnyLessThan(V a, V b);

    static abstract V LessThanOrEqual(V a, V b);

    static abstract V Select(V mask, V whenSet, V whenClear);

    /// <summary>x 2^k for integers k of -250 to 250, rounded once.</summary>
    static abstract V ScaleByPowerOfTwo(V x, V k);

    /// <summary>Lanes 2j and 2j + 1 exchanged.</summary>
    static abstract V SwapPairs(V a);

    /// <summary>Sum of the lanes, always in the same order.</summary>
    static abstract float Sum(V a);

    static abstract float Largest(V a);
}

/// <summary>Doubles of one register.</summary>
internal interface IDoubleVector<D>
    where D : struct, IDoubleVector<D>
{
    static abstract D Zero { get; }

    static abstract D Create(double x);

    static abstract D operator +(D a, D b);

    static abstract D operator -(D a, D b);

    static abstract D MultiplyAdd(D a, D b, D c);

    static abstract D operator *(D a, D b);

    /// <summary>The second operand when either is not a number.</summary>
    static abstract D Max(D a, D b);

    static abstract D Round(D a);

    /// <summary>x 2^k for integers k of -1022 to 1023.</summary>
    static abstract D ScaleByPowerOfTwo(D x, D k);

    static abstract double Sum(D a);
}

/// <summary>Widening of the floats of a V to two D.</summary>
internal interface IWidening<V, D>
    where V : struct
    where D : struct
{
    static abstract void Widen(V x, out D lower, out D upper);
}
