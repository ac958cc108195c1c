using System.Runtime.InteropServices;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Tests.Quantized;

namespace LowRankQuant.Tests.Quantization;

public sealed class TwoLevelSearchTests
{
    private const int Rows = 4, Columns = 512;

    public static TheoryData<string> Grids => [.. TwoLevelGrid.All.Select(grid => grid.Name)];

    [Theory]
    [MemberData(nameof(Grids))]
    public void TheSearchLeavesLessErrorThanTheEnginesOwnQuantizer(string name)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        float[] weight = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Golden($"{name}.encode.f32"))).ToArray();
        TwoLevelWeight engine = KBlocks.Read(grid, File.ReadAllBytes(Golden($"{name}.encode.blocks")), weight.Length / 256);
        using var workers = new WorkerPool(1);
        double[] theirs = BlockErrors(weight, engine), ours = BlockErrors(weight, Round(weight, 256, grid, GridStart.Search, workers));
        // Relative to the block's energy, so that the large blocks do not decide alone.
        double sumTheirs = 0, sumOurs = 0;
        int better = 0, worse = 0;
        for (int block = 0; block < ours.Length; block++)
        {
            double energy = weight.AsSpan(block * 256, 256).ToArray().Sum(value => (double)value * value);
            if (energy == 0) Assert.Equal(0, ours[block]);
            else sumOurs += ours[block] / energy;
            if (energy != 0) sumTheirs += theirs[block] / energy;
            if (ours[block] < theirs[block]) better++;
            else if (ours[block] > theirs[block]) worse++;
        }
        TestContext.Current.SendDiagnosticMessage($"{name}: ours {sumOurs / ours.Length:G5}, ggml {sumTheirs / ours.Length:G5}; better in {better}, worse in {worse} of {ours.Length}");
        Assert.True(sumOurs < sumTheirs, $"{name}: {sumOurs} against {sumTheirs}");
        Assert.True(worse <= ours.Length / 8, $"{name}: worse in {worse} of {ours.Length} blocks");
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void TheRefinedStartIsBetterThanThePlainOneAndBothAreIndependentOfThreads(string name)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        float[] weight = Weights();
        using WorkerPool one = new(1), three = new(3);
        double[] errors = [.. new[] { GridStart.MinMax, GridStart.Search }.Select(start =>
        {
            TwoLevelWeight rounded = Round(weight, Columns, grid, start, one), again = Round(weight, Columns, grid, start, three);
            Assert.Equal(rounded.Codes, again.Codes);
            Assert.Equal(rounded.Scales.GroupScales, again.Scales.GroupScales);
            Assert.Equal(rounded.Scales.BlockScales, again.Scales.BlockScales);
            return BlockErrors(weight, rounded).Sum();
        })];
        Assert.True(errors[1] < errors[0], $"{errors[1]} against {errors[0]}");
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void EveryCodeIsTheNearestForTheProductsAsStored(string name)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        float[] weight = Weights(), values = new float[weight.Length], other = new float[weight.Length];
        using var workers = new WorkerPool(1);
        TwoLevelWeight rounded = Round(weight, Columns, grid, GridStart.Search, workers);
        rounded.Dequantize(values);
        foreach (int step in new[] { -1, 1 })
        {
            byte[] codes = [.. rounded.Codes.Select(code => (byte)Math.Clamp(code + step, 0, grid.MaxCode))];
            new TwoLevelWeight(Rows, Columns, grid, codes, rounded.Scales).Dequantize(other);
            for (int i = 0; i < weight.Length; i++)
            {
                float here = Math.Abs(weight[i] - values[i]), there = Math.Abs(weight[i] - other[i]);
                Assert.True(here <= there + (1e-6f * Math.Abs(weight[i])) + 1e-9f, $"element {i}: code {rounded.Codes[i]} is {here} off, code {codes[i]} {there}");
            }
        }
    }

    [Fact]
    public void ImportanceMovesTheErrorToWhereItCountsLess()
    {
        TwoLevelGrid grid = TwoLevelGrid.Q2K;
        float[] weight = Weights(), importance = [.. Enumerable.Range(0, Columns).Select(i => i % 4 == 0 ? 100f : 1f)];
        using var workers = new WorkerPool(1);
        double Weighted(ReadOnlyMemory<float> given)
        {
            TwoLevelScales scales = TwoLevelSearch.Find(weight, Columns, grid, GridStart.Search, given, workers);
            var values = new float[weight.Length];
            new TwoLevelFit(Rows, Columns, grid, scales).Round(weight, default, workers).Dequantize(values);
            return Enumerable.Range(0, weight.Length).Sum(i => importance[i % Columns] * Math.Pow(weight[i] - values[i], 2));
        }

        Assert.True(Weighted(importance) < 0.8 * Weighted(default));
    }

    [Fact]
    public void ScalesMayBeLearnedAndMinimaFollow()
    {
        TwoLevelGrid grid = TwoLevelGrid.Q4K;
        float[] weight = Weights();
        using var workers = new WorkerPool(1);
        TwoLevelScales start = TwoLevelSearch.Find(weight, Columns, grid, GridStart.Search, default, workers);
        var fit = new TwoLevelFit(Rows, Columns, grid, start);
        TwoLevelWeight doubled = fit.WithScales([.. fit.Scales.Select(scale => 2 * scale)]).Round(weight.Select(w => 2 * w).ToArray(), default, default, workers);
        TwoLevelWeight plain = fit.Round(weight, default, default, workers);
        Assert.Equal(plain.Codes, doubled.Codes);
        Assert.Equal(plain.Scales.GroupScales, doubled.Scales.GroupScales);
        Assert.Equal(start.BlockMinima!.Select(dmin => 2 * (float)dmin), doubled.Scales.BlockMinima!.Select(dmin => (float)dmin));
    }

    [Fact]
    public void StepsAreMultiplesOfLearnedScalesAndPassTheirGradientsOn()
    {
        using var device = new CpuDevice();
        using Tensor scales = device.From([1f, 2, 3, 4], 2, 2), gradient = device.Zeros(2, 2), seed = device.From([.. Enumerable.Range(1, 8).Select(i => (float)i)], 2, 4);
        using Tensor multiples = device.From([0.5f, 1, 0, -1, 2, 3, 1, 1], 2, 4);
        using var tape = new Tape(device, recording: true);
        Variable steps = tape.GroupSteps(new Variable(scales, gradient), multiples);
        Assert.Equal([1.5f, 2, 2, 1, 5, 6, 5, 5], steps.Value.ToArray());
        tape.Backward(steps, seed);
        Assert.Equal([3f, 7, 11, 15], gradient.ToArray());
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(1e12f)]
    public void WeightsThatNoHalfCanScaleAreRefused(float value)
    {
        float[] weight = Weights();
        weight[300] = value;
        using var workers = new WorkerPool(1);
        Assert.ThrowsAny<Exception>(() => TwoLevelSearch.Find(weight, Columns, TwoLevelGrid.Q4K, GridStart.Search, default, workers));
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void ZerosAndConstantsAreHeldExactly(string name)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        using var workers = new WorkerPool(1);
        float[] zeros = new float[256], constant = [.. Enumerable.Repeat(-0.5f, 256)], values = new float[256];
        Round(zeros, 256, grid, GridStart.Search, workers).Dequantize(values);
        Assert.All(values, value => Assert.Equal(0, value));
        Round(constant, 256, grid, GridStart.Search, workers).Dequantize(values);
        Assert.All(values, value => Assert.Equal(-0.5f, value, 0.5f / 1024));
    }

    private static TwoLevelWeight Round(float[] weight, int columns, TwoLevelGrid grid, GridStart start, WorkerPool workers) =>
        (TwoLevelWeight)FittedGrid.Find(weight, weight.Length / columns, columns, new Scheme(grid, start, ScaleType.Float16), workers)
            .Round(weight, default, workers);

    private static double[] BlockErrors(float[] weight, TwoLevelWeight rounded)
    {
        var values = new float[weight.Length];
        rounded.Dequantize(values);
        return [.. Enumerable.Range(0, weight.Length / 256).Select(block =>
            Enumerable.Range(block * 256, 256).Sum(i => ((double)values[i] - weight[i]) * ((double)values[i] - weight[i])))];
    }

    // Rows of unlike spread with a few outliers, as weights have them.
    private static float[] Weights()
    {
        var random = new SeededRandom(3);
        return [.. Enumerable.Range(0, Rows * Columns).Select(i =>
            (float)(0.02 * (1 + (i / Columns)) * random.NextGaussian() * (random.NextInt32(50) == 0 ? 4 : 1)))];
    }

    private static string Golden(string file) => TestData.Path("golden", "gguf", "blocks", file);
}
