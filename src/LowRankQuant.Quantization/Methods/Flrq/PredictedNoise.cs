using System.Numerics;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>
/// The output noise that rounding the residual will add, up to a factor: sum over groups of (range of the un-scaled residual)^2 times the group's sum
/// of diag H. One pass a rank, like the largest magnitude, but it measures what the quantizer will do (specification FLRQ 15).
/// </summary>
/// <param name="alpha">Activation scale, [n].</param>
/// <param name="diagonal">diag H, [n].</param>
/// <param name="groupSize">Inputs that share a scale.</param>
internal sealed class PredictedNoise(double[] alpha, double[] diagonal, int groupSize) : IResidualMeasure<double>
{
    /// <inheritdoc/>
    public int RowsPerTile => groupSize;

    /// <inheritdoc/>
    public bool ReadsValues => true;

    /// <inheritdoc/>
    public void TakeOff(TileTerms<double> tile, Span<double> figures)
    {
        for (int term = 0; term < tile.Terms; term++)
        {
            tile.TakeOff(term);
            figures[term] = OfTile(tile.Values, tile.Stride, tile.FirstRow, tile.Rows, tile.Columns);
        }
    }

    /// <inheritdoc/>
    public double Combine(double first, double second) => first + second;

    /// <inheritdoc/>
    public double Of(Memory<double> matrix, int columns, WorkerPool workers)
    {
        int rows = alpha.Length, tiles = (rows + groupSize - 1) / groupSize;
        var figures = new double[tiles];
        workers.Run(tiles, tile =>
        {
            int first = tile * groupSize;
            figures[tile] = OfTile(matrix.Span[(first * columns)..], columns, first, Math.Min(groupSize, rows - first), columns);
        });
        double sum = 0;
        foreach (double figure in figures) sum += figure;
        return sum;
    }

    // The figure of one tile, whose first element is element (firstRow, any) of the matrix.
    private double OfTile(ReadOnlySpan<double> tile, int stride, int firstRow, int rows, int columns)
    {
        double[] low = new double[columns], high = new double[columns];
        Array.Fill(low, double.PositiveInfinity);
        Array.Fill(high, double.NegativeInfinity);
        double energy = 0;
        for (int row = 0; row < rows; row++)
        {
            energy += diagonal[firstRow + row];
            double factor = 1 / alpha[firstRow + row];
            Widen(tile.Slice(row * stride, columns), factor, low, high);
        }
        double sum = 0;
        for (int column = 0; column < columns; column++) sum += (high[column] - low[column]) * (high[column] - low[column]);
        return sum * energy;
    }

    // The range of each column grows to hold the row's values. They are numbers, so one instruction finds the smaller and the larger.
    private static void Widen(ReadOnlySpan<double> row, double factor, Span<double> low, Span<double> high)
    {
        int column = 0;
        for (; column <= row.Length - Vector<double>.Count; column += Vector<double>.Count)
        {
            Vector<double> value = new Vector<double>(row[column..]) * factor;
            Vector.MinNative(new Vector<double>(low[column..]), value).CopyTo(low[column..]);
            Vector.MaxNative(new Vector<double>(high[column..]), value).CopyTo(high[column..]);
        }
        for (; column < row.Length; column++)
        {
            double value = row[column] * factor;
            low[column] = Math.Min(low[column], value);
            high[column] = Math.Max(high[column], value);
        }
    }
}
