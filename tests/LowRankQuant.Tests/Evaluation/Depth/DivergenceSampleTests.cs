using System.Text.Json;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Evaluation.Depth;

public class DivergenceSampleTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(101)]
    [InlineData(5000)]
    public void PercentilesLieBetweenNeighbours(int count)
    {
        double[] values = Values(count);
        DivergenceDistribution result = Of(values, int.MaxValue);
        Array.Sort(values);
        Assert.Equal(count, result.Positions);
        Assert.Equal(At(0.5), result.Median, 1e-6);
        Assert.Equal(At(0.9), result.P90, 1e-6);
        Assert.Equal(At(0.99), result.P99, 1e-6);
        Assert.Equal(At(0.999), result.P999, 1e-6);
        Assert.Equal(values[^1], result.Largest, 1e-6);

        // numpy's rule, and llama.cpp's.
        double At(double share)
        {
            double rank = share * (count - 1);
            int below = (int)rank;
            return values[below] + ((rank - below) * (values[Math.Min(below + 1, count - 1)] - values[below]));
        }
    }

    [Fact]
    public void BeyondWhatIsKeptPercentilesAreClose()
    {
        double[] values = Values(20_000);
        DivergenceDistribution exact = Of(values, int.MaxValue), close = Of(values, 1000);
        foreach ((double known, double found) in new[] { (exact.Median, close.Median), (exact.P90, close.P90), (exact.P99, close.P99), (exact.P999, close.P999) })
            Assert.InRange(found / known, 1 - 5e-4, 1 + 5e-4);
        Assert.Equal((exact.Positions, exact.Largest), (close.Positions, close.Largest));
        Assert.Equal(exact.Bins, close.Bins);
        Assert.False(Sample(values, 1000).IsExact);
        Assert.True(Sample(values, 20_000).IsExact);
    }

    [Fact]
    public void EveryPositionIsInOneBin()
    {
        IReadOnlyList<double> edges = DivergenceDistribution.Edges;
        double[] values = [-1e-12, 0, 1e-7, .. edges.Take(3), 1, 99, 101, double.PositiveInfinity, double.NaN];
        DivergenceDistribution result = Of(values, int.MaxValue);
        Assert.Equal(edges.Count + 1, result.Bins.Count);
        Assert.Equal(values.Length, result.Bins.Sum());
        Assert.Equal(3, result.Bins[0]);
        // An edge belongs to the bin above it; what is no number is as bad as can be.
        Assert.Equal(double.PositiveInfinity, result.Largest);
        Assert.Equal(double.PositiveInfinity, result.P999);
        Assert.Equal(3, result.Bins[^1]);
    }

    // torch calls the lower of the two in the middle the median; numpy and llama.cpp their mean.
    [Fact]
    public void TheMedianIsThatOfTheReference()
    {
        float[] values = new ReferenceTensors(TestData.Path("golden", "eval", "kl.tinystories-656k.safetensors")).Read<float>("kl");
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "eval", "kl.tinystories-656k.json")));
        JsonElement all = golden.RootElement.GetProperty("all_positions");
        DivergenceDistribution result = Of([.. values.Select(value => (double)value)], int.MaxValue);
        Array.Sort(values);
        int middle = values.Length / 2;
        Assert.Equal(all.GetProperty("kl_median").GetDouble(), values[middle - 1], 1e-7);
        Assert.Equal(((double)values[middle - 1] + values[middle]) / 2, result.Median, 1e-7);
        Assert.Equal(all.GetProperty("kl_max").GetDouble(), result.Largest, 1e-6);
    }

    private static DivergenceDistribution Of(double[] values, int kept) => Sample(values, kept).Result();

    private static DivergenceSample Sample(double[] values, int kept)
    {
        var sample = new DivergenceSample(kept);
        foreach (double value in values) sample.Add(value);
        return sample;
    }

    private static double[] Values(int count)
    {
        var random = new Random(5);
        return [.. Enumerable.Range(0, count).Select(_ => (double)(float)Math.Exp((random.NextDouble() * 12) - 10))];
    }
}
