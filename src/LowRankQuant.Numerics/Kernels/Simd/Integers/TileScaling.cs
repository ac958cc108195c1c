using System.Runtime.Intrinsics;

namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>
/// From the sums of a tile over one run to floats: t = sum u w - z_x sum w - z_w sum (u - z_x), where the operands of the sums still have their zero points; then
/// y = t s_w for the first run, y = fma(t, s_w, y) for others, y s_x behind the last. Integers may wrap on the way, as t itself does not.
/// </summary>
internal unsafe ref struct TileScaling
{
    /// <summary>[rows, Columns].</summary>
    public required int* Sums { get; init; }

    /// <summary>Rows that are wanted.</summary>
    public required int Rows { get; init; }

    /// <summary>Outputs, a multiple of eight.</summary>
    public required int Columns { get; init; }

    /// <summary>s_w, [Columns].</summary>
    public required float* Scales { get; init; }

    /// <summary>z_x, [rows]; null where zero points have been taken off before.</summary>
    public required int* RowZeros { get; init; }

    /// <summary>sum (u - z_x), [rows].</summary>
    public required int* RowSums { get; init; }

    /// <summary>z_w, [Columns]; null where all are 0.</summary>
    public required int* ColumnZeros { get; init; }

    /// <summary>sum w, [Columns].</summary>
    public required int* ColumnSums { get; init; }

    /// <summary>s_x, [rows]; null where runs follow.</summary>
    public required float* Steps { get; init; }

    /// <summary>Whether nothing is in y yet.</summary>
    public required bool First { get; init; }

    /// <summary>Writes y.</summary>
    /// <param name="before">What is in y from the runs before, [rows, Columns]; not read for the first.</param>
    /// <param name="y">May be the same memory.</param>
    /// <param name="stride">Floats between rows of y.</param>
    public readonly void Apply(float* before, float* y, nint stride)
    {
        if (Vector512.IsHardwareAccelerated && Columns % 16 == 0)
        {
            for (int c = 0; c < Columns; c += 16) Wide(before + c, y + c, stride, c);
        }
        else
        {
            for (int c = 0; c < Columns; c += 8) Narrow(before + c, y + c, stride, c);
        }
    }

    // What belongs to outputs stays in registers while the rows pass by.
    private readonly void Wide(float* before, float* y, nint stride, int c)
    {
        Vector512<float> scale = Vector512.Load(Scales + c);
        Vector512<int> sum = RowZeros == null ? default : Vector512.Load(ColumnSums + c), zero = ColumnZeros == null ? default : Vector512.Load(ColumnZeros + c);
        int* sums = Sums + c;
        for (int r = 0; r < Rows; r++, y += stride, before += Columns, sums += Columns)
        {
            Vector512<int> t = Vector512.Load(sums);
            if (RowZeros != null) t -= sum * Vector512.Create(RowZeros[r]);
            if (RowZeros != null && ColumnZeros != null) t -= zero * Vector512.Create(RowSums[r]);
            Vector512<float> value = Vector512.ConvertToSingle(t);
            value = First ? value * scale : Vector512.FusedMultiplyAdd(value, scale, Vector512.Load(before));
            if (Steps != null) value *= Vector512.Create(Steps[r]);
            value.Store(y);
        }
    }

    private readonly void Narrow(float* before, float* y, nint stride, int c)
    {
        Vector256<float> scale = Vector256.Load(Scales + c);
        Vector256<int> sum = RowZeros == null ? default : Vector256.Load(ColumnSums + c), zero = ColumnZeros == null ? default : Vector256.Load(ColumnZeros + c);
        int* sums = Sums + c;
        for (int r = 0; r < Rows; r++, y += stride, before += Columns, sums += Columns)
        {
            Vector256<int> t = Vector256.Load(sums);
            if (RowZeros != null) t -= sum * Vector256.Create(RowZeros[r]);
            if (RowZeros != null && ColumnZeros != null) t -= zero * Vector256.Create(RowSums[r]);
            Vector256<float> value = Vector256.ConvertToSingle(t);
            value = First ? value * scale : Vector256.FusedMultiplyAdd(value, scale, Vector256.Load(before));
            if (Steps != null) value *= Vector256.Create(Steps[r]);
            value.Store(y);
        }
    }
}
