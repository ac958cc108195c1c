using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// Codes on a two-level grid: scales are products of halves and integers from the start, so there is nothing to round and nothing to refit. Codes are
/// those of <see cref="FittedGrid"/>: they run backwards where a scale is negative.
/// </summary>
internal sealed class TwoLevelGridWeight : GridWeight
{
    private readonly TwoLevelScales _stored;

    private TwoLevelGridWeight(int rows, int columns, TwoLevelGrid grid, TwoLevelScales stored)
        : base(rows, columns, grid)
    {
        _stored = stored;
        Zeros = [.. new TwoLevelFit(rows, columns, grid, stored).Zeros.Select(zero => (double)zero)];
        for (int group = 0; group < Scales.Length; group++) Scales[group] = Math.Abs(stored.Scale(group / grid.GroupsPerBlock, group));
    }

    /// <inheritdoc/>
    public override bool HasFreeScales => false;

    /// <summary>Searches scales for a matrix and rounds it to nearest.</summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="importance">Weight of the squared error of every input, [columns].</param>
    /// <param name="workers">Threads.</param>
    public static TwoLevelGridWeight Search(double[] matrix, int rows, int columns, TwoLevelGrid grid, float[] importance, WorkerPool workers)
    {
        float[] values = [.. matrix.Select(value => (float)value)];
        var result = new TwoLevelGridWeight(rows, columns, grid, TwoLevelSearch.Find(values, columns, grid, GridStart.Search, importance, workers));
        result.RoundCodes(matrix, workers);
        return result;
    }

    /// <inheritdoc/>
    public override void RoundScales(ScaleType type, int? digits)
    {
        // They are what is stored.
    }

    /// <inheritdoc/>
    public override TwoLevelWeight ToQuantizedWeight(ScaleType type, LowRankBranch? branch)
    {
        var grid = (TwoLevelGrid)Grid;
        return new TwoLevelWeight(Rows, Columns, grid, TwoLevelFit.Turned(Codes, grid, _stored), _stored, branch);
    }
}
