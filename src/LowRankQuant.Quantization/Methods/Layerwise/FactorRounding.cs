using System.Numerics;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>
/// Rounding of a branch's factors to what is stored: fp16, or 8-bit codes -127..127 with one fp16 scale, max magnitude / 127, for every vector (row of
/// A, column of B). What was rounded before stays as it is.
/// </summary>
internal static class FactorRounding
{
    private const double MaxCode = 127;

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
        if (bits == 16)
        {
            for (int i = 0; i < values.Length; i++) values[i] = T.CreateChecked((Half)double.CreateChecked(values[i]));
            return;
        }
        for (int vector = 0; vector < rank; vector++) RoundVector(values, vector * start, stride, values.Length / rank);
    }

    private static void RoundVector<T>(T[] values, int start, int stride, int count)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        double largest = 0;
        for (int i = 0; i < count; i++) largest = Math.Max(largest, Math.Abs(double.CreateChecked(values[start + (i * stride)])));
        double scale = (double)(Half)(largest / MaxCode);
        for (int i = 0; i < count; i++)
        {
            ref T value = ref values[start + (i * stride)];
            double code = scale > 0 ? Math.Clamp(Math.Round(double.CreateChecked(value) / scale), -MaxCode, MaxCode) : 0;
            value = T.CreateChecked(code * scale);
        }
    }
}
