using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// Codes on a grid whose scales are still in double precision. Groups run along the inputs of a row; value (code - zero) scale.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="grid">The grid; a uniform one is per channel or per group.</param>
internal class GridWeight(int rows, int columns, WeightGrid grid)
{
    /// <summary>Output features.</summary>
    public int Rows => rows;

    /// <summary>Input features.</summary>
    public int Columns => columns;

    /// <summary>The grid.</summary>
    public WeightGrid Grid => grid;

    /// <summary>Groups of a row.</summary>
    public int Groups { get; } = grid.GroupsPerRow(columns);

    /// <summary>Inputs of a group.</summary>
    public int GroupSize { get; } = RangeGrid.GroupSize(grid, columns);

    /// <summary>[rows, groups].</summary>
    public double[] Scales { get; init; } = new double[rows * grid.GroupsPerRow(columns)];

    /// <summary>The place of the value 0 among the codes, [rows, groups]; an integer on a uniform grid.</summary>
    public double[] Zeros { get; init; } = new double[rows * grid.GroupsPerRow(columns)];

    /// <summary>[rows, columns].</summary>
    public byte[] Codes { get; } = new byte[rows * columns];

    /// <summary>Whether scales may be refitted freely; not where they are products of what is stored.</summary>
    public virtual bool HasFreeScales => true;

    /// <summary>The grid of the plain range of every group, rounded to nearest.</summary>
    /// <param name="weight">[rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="grid">The integer grid.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="limits">[rows, groups]: magnitudes to which each group is clamped first, or null.</param>
    public static GridWeight RoundToNearest(double[] weight, int rows, int columns, UniformGrid grid, WorkerPool workers, double[]? limits = null)
    {
        var result = new GridWeight(rows, columns, grid);
        int size = result.GroupSize;
        workers.Run(rows, row =>
        {
            for (int group = 0; group < result.Groups; group++)
            {
                int index = (row * result.Groups) + group;
                double limit = limits is null ? double.PositiveInfinity : limits[index];
                Span<double> values = weight.AsSpan((row * columns) + (group * size), size);
                double min = double.PositiveInfinity, max = double.NegativeInfinity;
                foreach (double value in values)
                {
                    double clamped = Math.Clamp(value, -limit, limit);
                    min = Math.Min(min, clamped);
                    max = Math.Max(max, clamped);
                }
                (double scale, int zero) = RangeGrid.FromRange(min, max, grid);
                result.Scales[index] = scale;
                result.Zeros[index] = zero;
                Span<byte> codes = result.Codes.AsSpan((row * columns) + (group * size), size);
                for (int i = 0; i < size; i++) codes[i] = (byte)RangeGrid.Code(Math.Clamp(values[i], -limit, limit), scale, zero, grid.MaxCode);
            }
        });
        return result;
    }

    /// <summary>The code nearest to a value that earlier errors have moved, which lies on no tie, and what it stands for.</summary>
    /// <param name="value">The value.</param>
    /// <param name="index">Row times groups, plus group.</param>
    public virtual (byte Code, double Value) Nearest(double value, int index)
    {
        (double scale, double zero) = (Scales[index], Zeros[index]);
        int code = RangeGrid.CodeOfMoved(value, scale, zero, grid.MaxCode);
        return ((byte)code, (code - zero) * scale);
    }

    /// <summary>(code - zero) scale, [rows, columns].</summary>
    public virtual double[] Dequantize()
    {
        double[] values = GC.AllocateUninitializedArray<double>(Codes.Length);
        for (int group = 0; group < Scales.Length; group++)
        {
            (double scale, double zero) = (Scales[group], Zeros[group]);
            ReadOnlySpan<byte> codes = Codes.AsSpan(group * GroupSize, GroupSize);
            Span<double> target = values.AsSpan(group * GroupSize, GroupSize);
            for (int i = 0; i < codes.Length; i++) target[i] = (codes[i] - zero) * scale;
        }
        return values;
    }

    /// <summary>weight - (code - zero) scale, [rows, columns].</summary>
    public double[] ErrorOf(double[] weight)
    {
        double[] error = Dequantize();
        for (int i = 0; i < error.Length; i++) error[i] = weight[i] - error[i];
        return error;
    }

    /// <summary>The same in the place of the weight, where a matrix more would be one too many.</summary>
    /// <param name="weight">[rows, columns]: the weight, and afterwards its error.</param>
    public virtual void LeaveErrorOf(double[] weight)
    {
        for (int group = 0; group < Scales.Length; group++)
        {
            double scale = Scales[group], zero = Zeros[group];
            ReadOnlySpan<byte> codes = Codes.AsSpan(group * GroupSize, GroupSize);
            Span<double> target = weight.AsSpan(group * GroupSize, GroupSize);
            for (int i = 0; i < codes.Length; i++) target[i] -= (codes[i] - zero) * scale;
        }
    }

    /// <summary>Rounds the scales to the type in which they are stored.</summary>
    /// <param name="type">The type.</param>
    /// <param name="digits">Significant bits to keep; null for all that the type has.</param>
    public virtual void RoundScales(ScaleType type, int? digits)
    {
        for (int i = 0; i < Scales.Length; i++) Scales[i] = StorageScale.Round((float)Scales[i], type, digits);
    }

    /// <summary>Chooses every code again, to nearest, for the scales as they are.</summary>
    public virtual void RoundCodes(double[] weight, WorkerPool workers) => workers.Run(rows, row =>
    {
        for (int column = 0; column < columns; column++)
        {
            int at = (row * columns) + column, index = (row * Groups) + (column / GroupSize);
            Codes[at] = (byte)RangeGrid.Code(weight[at], Scales[index], Zeros[index], grid.MaxCode);
        }
    });

    /// <summary>The stored form; the scales must have been rounded.</summary>
    public virtual QuantizedWeight ToQuantizedWeight(ScaleType type, LowRankBranch? branch) => new UniformWeight(
        rows, columns, (UniformGrid)grid, Codes, [.. Scales.Select(scale => (float)scale)], grid.Symmetric ? null : [.. Zeros.Select(zero => (byte)zero)], type,
        branch);
}
