using System.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// Rounding of a branch's factors to what is stored (<see cref="FactorScale"/>): 16-bit floats, or 8-bit codes with one 16-bit scale for every vector
/// (row of A, column of B). What was rounded before stays as it is.
/// </summary>
internal static class FactorRounding
{
    /// <summary>Rounds A, whose vectors are rows.</summary>
    /// <param name="values">[rank, length].</param>
    /// <param name="rank">Vectors.</param>
    /// <param name="bits">8 or 16.</param>
    public static void Rows<T>(T[] values, int rank, int bits)
        where T : unmanaged, IFloatingPointIeee754<T> => Round(values, rank, bits, values.Length / Math.Max(1, rank), 1);

    /// <summary>Rounds B, whose vectors are columns.</summary>
    /// <param name="values">[length, rank].</param>
    /// <param name="rank">Vectors.</param>
    /// <param name="bits">8 or 16.</param>
    public static void Columns<T>(T[] values, int rank, int bits)
        where T : unmanaged, IFloatingPointIeee754<T> => Round(values, rank, bits, 1, rank);

    private static void Round<T>(T[] values, int rank, int bits, int start, int stride)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (rank == 0) return;
        double[] largest = [.. Enumerable.Range(0, rank).Select(vector => Largest(values, vector * start, stride, values.Length / rank))];
        if (bits == 16)
        {
            bool half = FactorScale.ElementTypeFor(largest.Max()) == ScaleType.Float16;
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = half
                    ? T.CreateChecked((Half)double.CreateChecked(values[i]))
                    : T.CreateChecked(StorageScale.RoundAny(float.CreateChecked(values[i]), ScaleType.BFloat16));
            }
            return;
        }
        ScaleType type = FactorScale.TypeFor(largest);
        for (int vector = 0; vector < rank; vector++)
            RoundVector(values, vector * start, stride, values.Length / rank, FactorScale.Round(largest[vector], type));
    }

    private static double Largest<T>(T[] values, int start, int stride, int count)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        double largest = 0;
        for (int i = 0; i < count; i++) largest = Math.Max(largest, Math.Abs(double.CreateChecked(values[start + (i * stride)])));
        return largest;
    }

    private static void RoundVector<T>(T[] values, int start, int stride, int count, double scale)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (int i = 0; i < count; i++)
        {
            ref T value = ref values[start + (i * stride)];
            double code = scale > 0 ? Math.Clamp(Math.Round(double.CreateChecked(value) / scale), -FactorScale.MaxCode, FactorScale.MaxCode) : 0;
            value = T.CreateChecked(code * scale);
        }
    }
}
