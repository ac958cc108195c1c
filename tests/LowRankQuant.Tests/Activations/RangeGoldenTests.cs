using System.Text.Json;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Tests.Kernels;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Activations;

/// <summary>Ranges of static grids against an independent implementation, and what does not depend on threads, windows or memory.</summary>
public sealed class RangeGoldenTests : IDisposable
{
    private readonly WorkerPool _workers = new(2);

    public void Dispose() => _workers.Dispose();

    [Fact]
    public void RangesStepsCodesAndGradientsOfStaticGrids()
    {
        var data = new MiniSafetensors(TestData.Path("golden", "schemes", "act-static.safetensors"));
        using JsonDocument facts = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "act-static.json")));
        string[] cases = [.. data.Names.Where(name => name.EndsWith(".code", StringComparison.Ordinal)).Select(name => name[..^5])];
        Assert.Equal(48, cases.Length);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        foreach (string key in cases)
        {
            string[] parts = key.Split('.');
            var grid = new ActivationGrid(parts[1][1] - '0', parts[2] == "sym", ActivationScope.Tensor);
            float[] calibration = data.Floats($"{parts[0]}.calibration");
            RangeEstimator estimator = Estimate(Rule(parts[3]), grid, calibration, data.Shape($"{parts[0]}.calibration")[1], 7, _workers);
            (double min, double max) = estimator.RangeOf(0);
            double[] range = data.Doubles($"{key}.range"), expected = data.Doubles($"{key}.s");
            // The reference keeps both ends of a range of which a symmetric grid takes the farther one.
            if (grid.Symmetric) range = [-Math.Max(-range[0], range[1]), Math.Max(-range[0], range[1])];
            Relative(range[0], min, 2e-7, key + " min");
            Relative(range[1], max, 2e-7, key + " max");
            (float[] steps, float[] zeros) = estimator.Steps();
            Relative(expected[0], steps[0], 2e-7, key + " s");
            Assert.Equal(grid.Symmetric ? 0 : data.Floats($"{key}.zero")[0], zeros[0]);
            if (parts[3] == "search") CheckWinner(facts.RootElement.GetProperty(key).GetProperty("winner"), calibration, grid, (min, max));
            Forward(device, data, key, grid, zeros[0]);
        }
    }

    /// <summary>How windows are cut, and how many threads there are, changes nothing but the last bits of the sums of an error search.</summary>
    [Theory]
    [InlineData(RangeRule.MinMax)]
    [InlineData(RangeRule.Percentile)]
    [InlineData(RangeRule.ErrorSearch)]
    public void WindowsAndThreadsDoNotMatter(RangeRule rule)
    {
        const int columns = 24, heads = 3;
        float[] values = KernelTwins.Random(SeededRandom.Derive(5), columns * 700, 2);
        foreach (bool symmetric in new[] { true, false })
        {
            foreach (ActivationScope scope in new[] { ActivationScope.Tensor, ActivationScope.Head })
            {
                var grid = new ActivationGrid(4, symmetric, scope);
                using var one = new WorkerPool(1);
                RangeEstimator first = Estimate(rule, grid, values, columns, 50, one, heads);
                Assert.Equal(scope == ActivationScope.Head ? heads : 1, first.Units);
                foreach (int rows in new[] { 50, 700, 1 })
                {
                    RangeEstimator other = Estimate(rule, grid, values, columns, rows, _workers, heads);
                    Assert.Equal(first.Steps().Steps, other.Steps().Steps);
                    Assert.Equal(first.Steps().ZeroPoints, other.Steps().ZeroPoints);
                }
            }
        }
    }

    /// <summary>The few values that are kept give the quantiles of all, sorted; fewer values may come than were announced.</summary>
    [Theory]
    [InlineData(0.9)]
    [InlineData(0.999)]
    [InlineData(1.0)]
    public void PercentilesAreThoseOfAllValues(double p)
    {
        const int columns = 10;
        float[] values = KernelTwins.Random(SeededRandom.Derive(6), columns * 1234);
        double[] sorted = [.. values.Select(value => (double)value).Order()];
        double Quantile(double q)
        {
            double t = q * (sorted.Length - 1);
            int i = (int)Math.Floor(t);
            return i + 1 < sorted.Length ? sorted[i] + ((t - i) * (sorted[i + 1] - sorted[i])) : sorted[i];
        }

        foreach (long announced in new long[] { values.Length, 5 * values.Length })
        {
            var estimator = RangeEstimator.Create(
                new RangeOptions(RangeRule.Percentile, p), new ActivationGrid(8, false, ActivationScope.Tensor), 1, announced, _workers);
            for (int at = 0; at < values.Length; at += 37 * columns) estimator.Add(values.AsSpan(at, Math.Min(37 * columns, values.Length - at)), columns);
            (double min, double max) = estimator.RangeOf(0);
            Assert.Equal(Quantile(1 - p), min, 1e-12);
            Assert.Equal(Quantile(p), max, 1e-12);
            Assert.InRange(estimator.Bytes, 1, (long)(16 * announced * (1 - p)) + 64);
        }
        var full = RangeEstimator.Create(new RangeOptions(RangeRule.Percentile, p), new ActivationGrid(8, false, ActivationScope.Tensor), 1, 5, _workers);
        Assert.Throws<InvalidOperationException>(() => full.Add(values.AsSpan(0, columns), columns));
    }

    [Fact]
    public void AMovingAverageFollowsTheWindows()
    {
        const int columns = 4;
        float[] values = KernelTwins.Random(SeededRandom.Derive(7), columns * 30);
        RangeEstimator estimator = Estimate(RangeRule.MovingAverage, new ActivationGrid(8, false, ActivationScope.Tensor), values, columns, 5, _workers);
        double min = 0, max = 0;
        for (int window = 0; window < 6; window++)
        {
            float[] own = values[(window * 5 * columns)..((window + 1) * 5 * columns)];
            (min, max) = window == 0 ? (own.Min(), own.Max()) : ((0.99 * min) + (0.01 * own.Min()), (0.99 * max) + (0.01 * own.Max()));
        }
        Assert.Equal(min, estimator.RangeOf(0).Min, 1e-12);
        Assert.Equal(max, estimator.RangeOf(0).Max, 1e-12);
        Assert.True(estimator.RangeOf(0).Max < values.Max(), "a later window beyond the first is averaged, not taken");
    }

    [Fact]
    public void WhatCannotBeIsRefused()
    {
        ActivationGrid grid = new(8, false, ActivationScope.Tensor);
        RangeEstimator Create(RangeOptions options, ActivationGrid wanted) => RangeEstimator.Create(options, wanted, 1, 100, _workers);
        Assert.Throws<ArgumentException>(() => Create(new RangeOptions(RangeRule.MinMax), new ActivationGrid(8, false, ActivationScope.Token)));
        Assert.Throws<ArgumentException>(() => Create(new RangeOptions(RangeRule.MinMax), new ActivationGrid(8, false, ActivationScope.Tensor, ActivationRule.Paper)));
        Assert.Throws<ArgumentOutOfRangeException>(() => Create(new RangeOptions(RangeRule.Percentile, 0.4), grid));
        Assert.Throws<ArgumentOutOfRangeException>(() => Create(new RangeOptions(RangeRule.MovingAverage, AveragingConstant: 0), grid));
        foreach (RangeRule rule in Enum.GetValues<RangeRule>())
        {
            RangeEstimator empty = Create(new RangeOptions(rule), grid);
            Assert.Throws<ArgumentException>(() => empty.Add(new float[5], 3));
            for (int pass = 0; pass < empty.Passes; pass++) empty.EndPass();
            Assert.Throws<InvalidOperationException>(() => empty.Steps());
        }
    }

    private static RangeOptions Rule(string name) => name switch
    {
        "minmax" => new RangeOptions(RangeRule.MinMax),
        "p999" => new RangeOptions(RangeRule.Percentile, 0.999),
        "p9999" => new RangeOptions(RangeRule.Percentile, 0.9999),
        _ => new RangeOptions(RangeRule.ErrorSearch),
    };

    private static RangeEstimator Estimate(RangeRule rule, ActivationGrid grid, float[] values, int columns, int rows, WorkerPool workers, int heads = 1) =>
        Estimate(new RangeOptions(rule), grid, values, columns, rows, workers, heads);

    private static RangeEstimator Estimate(RangeOptions options, ActivationGrid grid, float[] values, int columns, int rows, WorkerPool workers, int heads = 1)
    {
        var estimator = RangeEstimator.Create(options, grid, heads, values.Length, workers);
        for (int pass = 0; pass < estimator.Passes; pass++)
        {
            for (int at = 0; at < values.Length; at += rows * columns) estimator.Add(values.AsSpan(at, Math.Min(rows * columns, values.Length - at)), columns);
            estimator.EndPass();
        }
        return estimator;
    }

    private static void CheckWinner(JsonElement winner, float[] calibration, ActivationGrid grid, (double Min, double Max) range)
    {
        double min = Math.Min(calibration.Min(), 0), max = Math.Max(calibration.Max(), 0);
        if (grid.Symmetric) (min, max) = (-Math.Max(-min, max), Math.Max(-min, max));
        if (winner.ValueKind == JsonValueKind.Number)
        {
            Assert.Equal(winner.GetInt32(), Math.Round(100 * range.Max / max));
            return;
        }
        Assert.Equal(winner[0].GetInt32(), Math.Round(100 * range.Min / min));
        Assert.Equal(winner[1].GetInt32(), Math.Round(100 * range.Max / max));
    }

    private static void Forward(Device device, MiniSafetensors data, string key, ActivationGrid grid, float zero)
    {
        string input = key.Split('.')[0];
        int[] shape = data.Shape($"{input}.x");
        float step = data.Floats($"{key}.s")[0];
        using Tensor x = device.From(data.Floats($"{input}.x"), shape), dx = device.Zeros(shape), seed = device.From(data.Floats($"{input}.G"), shape);
        using Tensor logStep = device.From([MathF.Log(step)], 1), dLogStep = device.Zeros(1), zeroPoint = device.From([zero], 1), dZero = device.Zeros(1), exact = device.From([step], 1);
        var codes = new sbyte[x.Count];
        device.Kernels.ActivationCodes(new ActivationQuantizerArguments { Grid = grid, X = x, Step = exact, ZeroPoint = zeroPoint }, codes);
        Assert.Equal(data.Doubles($"{key}.code"), codes.Select(code => (double)code));

        using (var tape = new Tape(device, recording: false))
        {
            Variable fixedSteps = tape.QuantizeActivations(new Variable(x), grid, new StaticSteps(new Variable(exact), new Variable(zeroPoint)));
            KernelTwins.Near(data.Floats($"{key}.value"), fixedSteps.Value.ToArray(), 2e-7, key + " value");
        }
        using var recorded = new Tape(device, recording: true);
        var steps = new StaticSteps(new Variable(logStep, dLogStep), new Variable(zeroPoint, dZero), IsLog: true);
        Variable y = recorded.QuantizeActivations(new Variable(x, dx), grid, steps);
        recorded.Backward(y, seed);
        float[] g = data.Floats($"{input}.G"), mask = data.Floats($"{key}.mask"), values = data.Floats($"{input}.x");
        Assert.Equal(g.Zip(mask, (slope, inside) => slope * inside), dx.ToArray());
        double terms = 0;
        for (int i = 0; i < g.Length; i++)
        {
            double position = (double)values[i] / step, units = codes[i] - zero;
            terms += Math.Abs(g[i] * (units - (mask[i] * position)));
        }
        int rows = shape[0];
        using Tensor dStep = device.Zeros(rows, 1), dOwnZero = device.Zeros(rows, 1);
        device.Kernels.QuantizeActivationsBackward(
            new ActivationQuantizerArguments { Grid = grid, X = x, Step = exact, ZeroPoint = zeroPoint },
            new ActivationQuantizerGradients { Upstream = seed, Step = dStep, ZeroPoint = dOwnZero });
        Assert.Equal(data.Doubles($"{key}.ds")[0], dStep.ToArray().Sum(part => (double)part), 1e-6 * terms);
        // The logarithm as a float moves s by 1e-7, and x / s, up to 128, by as much of itself: terms of 1/4 on the average, of all signs, by up to 1e-5 of their sum.
        Assert.Equal(data.Doubles($"{key}.dlog_s")[0], dLogStep.ToArray()[0], 1e-5 * step * terms);
        if (data.Contains($"{key}.dzero")) Relative(data.Doubles($"{key}.dzero")[0], dZero.ToArray()[0], 1e-6, key + " dzero");
    }

    private static void Relative(double expected, double actual, double tolerance, string what) =>
        Assert.True(Math.Abs(expected - actual) <= tolerance * Math.Abs(expected), $"{what}: {actual:r} for {expected:r}");
}
