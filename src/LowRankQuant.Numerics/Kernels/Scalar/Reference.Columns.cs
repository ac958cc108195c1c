using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>Columns copied from one matrix into another, every row as often as asked, and the sums that are the gradient of it.</summary>
internal static partial class Reference
{
    /// <summary>y[r, place + j] = x[r / repeat, start + j].</summary>
    public static void CopyColumns<T>(ReadOnlySpan<T> x, int xColumns, int start, int repeat, Span<T> y, int yColumns, int place, int width)
        where T : IFloatingPointIeee754<T>
    {
        for (int r = 0; r < y.Length / yColumns; r++)
        {
            for (int j = 0; j < width; j++) y[(r * yColumns) + place + j] = x[(r / repeat * xColumns) + start + j];
        }
    }

    /// <summary>dx[r, start + j] += sum over h of dy[r repeat + h, place + j].</summary>
    public static void AddColumns<T>(ReadOnlySpan<T> dy, int yColumns, int place, int repeat, Span<T> dx, int xColumns, int start, int width)
        where T : IFloatingPointIeee754<T>
    {
        for (int r = 0; r < dy.Length / yColumns; r++)
        {
            for (int j = 0; j < width; j++) dx[(r / repeat * xColumns) + start + j] += dy[(r * yColumns) + place + j];
        }
    }
}
