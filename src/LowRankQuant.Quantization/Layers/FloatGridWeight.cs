using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Layers;

/// <summary>Codes that are floats, on scales that are those that will be stored, so that there is nothing to round and nothing to refit.</summary>
internal sealed class FloatGridWeight : GridWeight
{
    private readonly FloatGrid _grid;
    private readonly FloatScales _stored;
    private readonly ScaleType _scaleType;

    private FloatGridWeight(int rows, int columns, FloatGrid grid, FloatScales stored, ScaleType scaleType)
        : base(rows, columns, grid)
    {
        (_grid, _stored, _scaleType) = (grid, stored, scaleType);
        float[] steps = new FloatFit(rows, columns, grid, scaleType, stored, null).Steps;
        for (int i = 0; i < steps.Length; i++) Scales[i] = steps[i];
    }

    /// <inheritdoc/>
    public override bool HasFreeScales => false;

    /// <summary>Finds scales for a matrix and rounds it to nearest.</summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="scheme">The grid, how scales are found, and their stored type.</param>
    /// <param name="workers">Threads.</param>
    public static FloatGridWeight Find(double[] matrix, int rows, int columns, Scheme scheme, WorkerPool workers)
    {
        float[] values = [.. matrix.Select(value => (float)value)];
        var result = new FloatGridWeight(rows, columns, (FloatGrid)scheme.Grid, FloatSearch.Find(values, rows, columns, scheme, workers), scheme.ScaleType);
        result.RoundCodes(matrix, workers);
        return result;
    }

    /// <inheritdoc/>
    public override (byte Code, double Value) Nearest(double value, int index)
    {
        float number = (float)_grid.Codes.Round(value / Scales[index]);
        return (_grid.Codes.CodeOf(number), number * Scales[index]);
    }

    /// <inheritdoc/>
    public override void RoundCodes(double[] weight, WorkerPool workers) => workers.Run(Rows, row =>
    {
        for (int at = row * Columns; at < (row + 1) * Columns; at++) Codes[at] = Nearest(weight[at], at / GroupSize).Code;
    });

    /// <inheritdoc/>
    public override double[] Dequantize()
    {
        double[] values = GC.AllocateUninitializedArray<double>(Codes.Length);
        for (int i = 0; i < values.Length; i++) values[i] = _grid.Codes.Values[Codes[i]] * Scales[i / GroupSize];
        return values;
    }

    /// <inheritdoc/>
    public override void LeaveErrorOf(double[] weight)
    {
        for (int i = 0; i < weight.Length; i++) weight[i] -= _grid.Codes.Values[Codes[i]] * Scales[i / GroupSize];
    }

    /// <inheritdoc/>
    public override void RoundScales(ScaleType type, int? digits)
    {
        // They are what is stored.
    }

    /// <inheritdoc/>
    public override FloatWeight ToQuantizedWeight(ScaleType type, LowRankBranch? branch) =>
        new(Rows, Columns, _grid, Codes, _stored.Scales, _scaleType, _stored.Divisor, branch);
}
