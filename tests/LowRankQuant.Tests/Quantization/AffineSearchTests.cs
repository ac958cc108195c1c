using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Tests.Quantization;

public sealed class AffineSearchTests
{
    private const int Rows = 6, Columns = 192;

    [Theory]
    [InlineData(2, 32, ScaleType.Float16)]
    [InlineData(3, 24, ScaleType.BFloat16)]
    [InlineData(4, 64, ScaleType.Float16)]
    [InlineData(8, 16, ScaleType.Float32)]
    public void TheSearchIsThatOfItsFormula(int bits, int size, ScaleType type)
    {
        var grid = new AffineGrid(bits, size);
        float[] weight = Weights();
        using WorkerPool one = new(1), three = new(3);
        AffineParameters plain = AffineSearch.Find(weight, grid, GridStart.MinMax, type, one), searched = AffineSearch.Find(weight, grid, GridStart.Search, type, one);
        AffineParameters again = AffineSearch.Find(weight, grid, GridStart.Search, type, three);
        Assert.Equal(searched.Steps, again.Steps);
        Assert.Equal(searched.Minima, again.Minima);
        for (int group = 0; group < plain.Steps.Length; group++)
        {
            float[] x = weight[(group * size)..((group + 1) * size)];
            Assert.Equal(StorageScale.RoundAny(x.Min(), type), plain.Minima[group]);
            Assert.Equal(StorageScale.Round((x.Max() - x.Min()) / grid.MaxCode, type), plain.Steps[group]);
            double expected = Twin(x, grid.MaxCode, type), found = Score(x, searched.Steps[group], searched.Minima[group], grid.MaxCode);
            // Vectors add in another order, which may choose another pair of all but the same score.
            Assert.InRange(found, 0, (expected * (1 + 1e-4)) + 1e-30);
            Assert.True(found <= Score(x, plain.Steps[group], plain.Minima[group], grid.MaxCode) * (1 + 1e-6));
            Assert.Equal(StorageScale.RoundAny(searched.Steps[group], type), searched.Steps[group]);
            Assert.Equal(StorageScale.RoundAny(searched.Minima[group], type), searched.Minima[group]);
        }
    }

    [Fact]
    public void AGroupThatLiesOnAGridIsFoundAsItIs()
    {
        // A minimum that is no multiple of the step, and a group without a 0 in it.
        float[] weight = [.. Enumerable.Range(0, 32).Select(i => (0.25f * (i % 16)) + 1.0625f)];
        using var workers = new WorkerPool(1);
        foreach (GridStart start in new[] { GridStart.MinMax, GridStart.Search })
        {
            var stored = (AffineWeight)FittedGrid.Find(weight, 1, 32, new Scheme(new AffineGrid(4, 32), start, ScaleType.Float16), workers).Round(weight, default, workers);
            var values = new float[32];
            stored.Dequantize(values);
            Assert.Equal(weight, values);
        }
    }

    [Fact]
    public void EveryCodeIsTheNearestForTheNumbersAsStored()
    {
        float[] weight = Weights(), values = new float[weight.Length], other = new float[weight.Length];
        using var workers = new WorkerPool(2);
        foreach (ScaleType type in new[] { ScaleType.Float16, ScaleType.BFloat16 })
        {
            var rounded = (AffineWeight)FittedGrid.Find(weight, Rows, Columns, new Scheme(new AffineGrid(3, 32), GridStart.Search, type), workers).Round(weight, default, workers);
            rounded.Dequantize(values);
            foreach (int step in new[] { -1, 1 })
            {
                byte[] codes = [.. rounded.Codes.Select(code => (byte)Math.Clamp(code + step, 0, 7))];
                new AffineWeight(Rows, Columns, rounded.Grid, codes, rounded.Scales, rounded.Minima, type).Dequantize(other);
                for (int i = 0; i < weight.Length; i++) Assert.True(Math.Abs(weight[i] - values[i]) <= Math.Abs(weight[i] - other[i]) + 1e-6f, $"element {i}");
            }
        }
    }

    [Fact]
    public void AStoredWeightIsItsOwnFit()
    {
        float[] weight = Weights(), values = new float[weight.Length];
        using var workers = new WorkerPool(1);
        var stored = (AffineWeight)FittedGrid.Find(weight, Rows, Columns, new Scheme(new AffineGrid(4, 32), GridStart.Search, ScaleType.Float16), workers).Round(weight, default, workers);
        stored.Dequantize(values);
        FittedGrid fit = FittedGrid.OfStored(stored, null);
        var again = (AffineWeight)fit.Round(values, default, workers);
        Assert.Equal(stored.Codes, again.Codes);
        Assert.Equal(stored.Scales, again.Scales);
        Assert.Equal(stored.Minima, again.Minima);
        Assert.Equal(stored.Codes, fit.CodesOf(stored));
        // A learned place of 0 is kept as a float, and the minimum is that of the type which is nearest.
        var moved = (AffineWeight)fit.WithZeros([.. fit.Zeros.Select(zero => zero + 0.3f)]).Round(values, default, workers);
        for (int group = 0; group < moved.Minima.Length; group++)
            Assert.Equal(StorageScale.RoundAny(-(fit.Zeros[group] + 0.3f) * stored.Scales[group], ScaleType.Float16), moved.Minima[group], 1e-4f);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(1.5f)]
    [InlineData(-3e-6f)]
    public void AGroupOfOneValueIsThatValue(float value)
    {
        float[] weight = [.. Enumerable.Repeat(value, 32)], values = new float[32];
        using var workers = new WorkerPool(1);
        var stored = (AffineWeight)FittedGrid.Find(weight, 1, 32, new Scheme(new AffineGrid(2, 32), GridStart.Search, ScaleType.Float16), workers).Round(weight, default, workers);
        stored.Dequantize(values);
        Assert.All(values, it => Assert.Equal((float)(Half)value, it, 1e-4f));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(1e6f)] // beyond a half
    public void WhatCannotBeStoredIsRefused(float value)
    {
        float[] weight = new float[32];
        weight[7] = value;
        using var workers = new WorkerPool(1);
        Assert.Throws<ArgumentOutOfRangeException>(() => FittedGrid.Find(weight, 1, 32, new Scheme(new AffineGrid(4, 32), GridStart.Search, ScaleType.Float16), workers).Round(weight, default, workers));
    }

    [Fact]
    public void CodesInDoublePrecisionAreThoseThatAreStored()
    {
        double[] matrix = [.. Weights().Select(value => (double)value)];
        using var workers = new WorkerPool(1);
        AffineGridWeight weight = AffineGridWeight.Find(matrix, Rows, Columns, new AffineGrid(4, 32), GridStart.Search, ScaleType.BFloat16, workers);
        for (int i = 0; i < weight.Scales.Length; i++) weight.Scales[i] *= 1.037;
        weight.RoundScales(ScaleType.BFloat16, null);
        weight.RoundCodes(matrix, workers);
        AffineWeight stored = weight.ToQuantizedWeight(ScaleType.BFloat16, null);
        float[] values = new float[matrix.Length];
        stored.Dequantize(values);
        double[] own = weight.Dequantize();
        for (int i = 0; i < values.Length; i++) Assert.Equal(own[i], values[i], 1e-6);
    }

    // The search as its header says it, in double precision.
    private static double Twin(float[] x, int maxCode, ScaleType type)
    {
        float min = x.Min(), range = x.Max() - min, part = range / AffineSearch.Parts, floor = x.Max(Math.Abs) / (1 << 14);
        (float Step, float Minimum) Stored(float step, float low) => (StorageScale.Round(Math.Max(step, floor), type), StorageScale.RoundAny(low, type));
        (float Step, float Minimum) best = Stored(range / maxCode, min);
        double score = Score(x, best.Step, best.Minimum, maxCode);
        for (int i = 0; i <= AffineSearch.MostCut; i++)
        {
            for (int j = 0; j <= AffineSearch.MostCut; j++) Try(Stored((range - ((i + j) * part)) / maxCode, min + (i * part)));
        }
        for (int fit = 0; fit < AffineSearch.MostFits; fit++)
        {
            double[] q = [.. x.Select(value => Math.Clamp(Math.Round((double)((value - best.Minimum) / best.Step)), 0, maxCode))];
            double meanCode = q.Average(), mean = x.Average(value => (double)value);
            double step = q.Zip(x, (code, value) => (code - meanCode) * (value - mean)).Sum() / q.Sum(code => (code - meanCode) * (code - meanCode));
            if (!(step > 0) || !Try(Stored((float)step, (float)(mean - (step * meanCode))))) break;
        }
        return score;

        bool Try((float Step, float Minimum) pair)
        {
            double here = Score(x, pair.Step, pair.Minimum, maxCode);
            if (!(here < score)) return false;
            (best, score) = (pair, here);
            return true;
        }
    }

    private static double Score(float[] x, float step, float minimum, int maxCode) => x.Average(value =>
        Math.Pow(Math.Abs((value - minimum) - (step * Math.Clamp(MathF.Round((value - minimum) / step), 0, maxCode))), 2.4));

    private static float[] Weights()
    {
        var random = new SeededRandom(31);
        // Every other row is of one sign, where a grid that has to hold 0 wastes codes.
        return [.. Enumerable.Range(0, Rows * Columns).Select(i => (float)random.NextGaussian() is var value && i / Columns % 2 == 0 ? value : Math.Abs(value) + 2)];
    }
}
