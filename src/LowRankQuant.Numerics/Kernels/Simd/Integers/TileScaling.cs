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

    /// <summary>Writes y, whose rows are <paramref name="stride"/> floats apart.</summary>
    public readonly void Apply(float* y, nint stride)
    {
        for (int r = 0; r < Rows; r++, y += stride)
        {
            int* sums = Sums + (r * Columns);
            Vector256<float> step = Vector256.Create(Steps == null ? 1 : Steps[r]);
            for (int c = 0; c < Columns; c += 8)
            {
                Vector256<int> t = Vector256.Load(sums + c);
                if (RowZeros != null)
                {
                    t -= Vector256.Load(ColumnSums + c) * Vector256.Create(RowZeros[r]);
                    if (ColumnZeros != null) t -= Vector256.Load(ColumnZeros + c) * Vector256.Create(RowSums[r]);
                }
                Vector256<float> value = Vector256.ConvertToSingle(t), scale = Vector256.Load(Scales + c);
                value = First ? value * scale : Vector256.FusedMultiplyAdd(value, scale, Vector256.Load(y + c));
                if (Steps != null) value *= step;
                value.Store(y + c);
            }
        }
    }
}
