using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Tests.Quantization;

/// <summary>The search dismisses most candidates unseen; it must find what a look at every one of them finds, to the last bit.</summary>
public sealed class GridSearchPruningTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void FindsWhatAFullSearchFinds(int bits)
    {
        var random = new SeededRandom(7 + (ulong)bits);
        var grid = new UniformGrid(bits, false, Granularity.Channel);
        foreach (int length in new[] { 1, 7, 64, 65, 257, 1000 })
        {
            foreach ((float scale, float tail, float shift) in new[] { (1f, 0f, 0f), (0.02f, 3f, 0f), (1e-3f, 0f, 2e-3f), (1e-18f, 1f, 0f), (1e6f, 8f, 0f) })
            {
                float[] line = Line(random, length, scale, tail, shift);
                (float step, byte zero, float score) = FullSearch(line, grid.MaxCode);
                GridCandidate found = GridSearch.FindLine(line, grid, GridStart.Search, oneSided: false);
                Assert.Equal((step, zero, score), (found.Step, found.Zero, found.Score));
            }
        }
    }

    [Fact]
    public void AnErrorIsNeverOverestimated()
    {
        var random = new SeededRandom(3);
        for (int trial = 0; trial < 200; trial++)
        {
            float[] line = Line(random, 512, 1f, trial % 5, 0f);
            float step = 0.05f + (0.01f * (trial % 50));
            float score = GridScore.Mean(line, step, trial % 8, 7);
            Assert.False(GridScore.Exceeds(GridScore.SquareLimit(score, line.Length), line, step, trial % 8, 7));
            // And the bound is worth something: a limit of a third of the score dismisses it.
            Assert.True(GridScore.Exceeds(GridScore.SquareLimit(score / 3, line.Length), line, step, trial % 8, 7));
        }
    }

    private static float[] Line(SeededRandom random, int length, float scale, float tail, float shift)
    {
        var line = new float[length];
        for (int i = 0; i < length; i++) line[i] = ((float)random.NextGaussian() * scale) + shift;
        // One weight far from the others, as real rows have.
        line[length / 2] *= 1 + tail;
        return line;
    }

    private static (float Step, byte Zero, float Score) FullSearch(float[] line, int maxCode)
    {
        float range = Math.Max(line.Max(), 0f) - Math.Min(line.Min(), 0f);
        (float Step, byte Zero, float Score) best = (0, 0, float.PositiveInfinity);
        for (int i = 1; i <= 100; i++)
        {
            float span = range / 100 * i, delta = span / maxCode;
            for (int zp = 0; zp <= maxCode; zp++)
            {
                float low = Math.Min(-(zp * delta), 0f), high = Math.Max(span - (zp * delta), 0f);
                float step = Math.Max((high - low) / maxCode, 1e-8f);
                byte zero = (byte)Math.Clamp(-MathF.Round(low / step), 0f, maxCode);
                float score = GridScore.Mean(line, step, zero, maxCode);
                if (score < best.Score) best = (step, zero, score);
            }
        }
        return best;
    }
}
