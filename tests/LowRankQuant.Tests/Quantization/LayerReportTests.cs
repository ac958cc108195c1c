using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Tests.Quantization;

/// <summary>What a report says of a layer.</summary>
public sealed class LayerReportTests : IDisposable
{
    private const int Rows = 6, Columns = 16;

    private readonly WorkerPool _workers = new(1);

    public void Dispose() => _workers.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ABranchTakesItsTermOffTheLargestMagnitude(bool branched)
    {
        // A row times a column of up to 8 x 4, and noise of at most .25 beside it.
        float[] rows = [.. Enumerable.Range(0, Rows).Select(i => i == 4 ? -8f : 1f)], columns = [.. Enumerable.Range(0, Columns).Select(j => j == 3 ? 4f : 0.5f)];
        double[] noise = [.. Enumerable.Range(0, Rows * Columns).Select(i => 0.25 * Math.Sin(1 + (7 * i)))];
        noise[(4 * Columns) + 3] = -0.25;
        double[] weight = [.. noise.Select((value, i) => value + (rows[i / Columns] * columns[i % Columns]))];
        var inputs = InputStatistics.Of([.. Enumerable.Range(0, 32 * Columns).Select(i => (float)Math.Cos(i))], Columns, _workers);
        LowRankBranch? branch = branched ? new LowRankBranch(1, columns, rows, 16) : null;
        QuantizedWeight stored = NearestRounding.Round(branched ? noise : weight, Rows, Columns, new UniformGrid(4, false, Granularity.Channel), ScaleType.Float32, inputs, _workers)
            .ToQuantizedWeight(ScaleType.Float32, branch);
        LayerReport report = LayerReport.Measure("layer", weight, inputs, stored, _workers);
        Assert.Equal(32.25, report.Magnitude!.Value, 12);
        Assert.Equal(branched ? 0.25 : 32.25, report.ResidualMagnitude!.Value, 12);
        Assert.Equal(branched ? 1 : 0, report.Rank);
    }
}
