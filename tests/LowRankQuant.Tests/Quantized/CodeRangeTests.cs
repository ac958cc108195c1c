using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Runs.Measuring;

namespace LowRankQuant.Tests.Quantized;

/// <summary>Ends of every kind of grid beside all values that its codes have, and what is clipped beside the definition, weight by weight.</summary>
public sealed class CodeRangeTests
{
    private const int Rows = 3, Columns = 512;

    public static TheoryData<string> Kinds => ["symmetric channel", "asymmetric g32", "tensor", "negative scales", "affine", .. TwoLevelGrid.All.Select(grid => grid.Name), .. FloatGrid.All.Select(grid => grid.Name)];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void RangesEndWhereValuesDo(string kind)
    {
        Func<byte, QuantizedWeight> make = Maker(kind, new Random(1));
        (double[] Sorted, CodeRange Range)[] weights = [.. Values(make)];
        Assert.All(weights, weight =>
        {
            Assert.Equal(weight.Sorted[0], weight.Range.Low, 1e-6 * Math.Abs(weight.Sorted[0]));
            Assert.Equal(weight.Sorted[^1], weight.Range.High, 1e-6 * Math.Abs(weight.Sorted[^1]));
            Assert.Equal(weight.Sorted[1] - weight.Sorted[0], weight.Range.LowStep, 1e-5 * (Math.Abs(weight.Sorted[0]) + 1e-9));
            Assert.Equal(weight.Sorted[^1] - weight.Sorted[^2], weight.Range.HighStep, 1e-5 * (Math.Abs(weight.Sorted[^1]) + 1e-9));
        });
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void WhatIsClippedIsNearestToAnEndAndFarBeyondIt(string kind)
    {
        var random = new Random(2);
        Func<byte, QuantizedWeight> make = Maker(kind, random);
        (double[] Sorted, CodeRange Range)[] weights = [.. Values(make)];
        // Somewhat wider than the grid, so that both kinds are met.
        float[] before = [.. weights.Select(weight => (float)(weight.Sorted[0] + ((random.NextDouble() * 1.6) - 0.3) * (weight.Sorted[^1] - weight.Sorted[0])))];
        int clipped = 0;
        for (int i = 0; i < before.Length; i++)
        {
            double[] values = weights[i].Sorted;
            double nearest = values.MinBy(value => Math.Abs(value - before[i])), beyond = nearest == values[0] ? values[0] - before[i] : nearest == values[^1] ? before[i] - values[^1] : 0;
            double step = nearest == values[0] ? values[1] - values[0] : values[^1] - values[^2];
            if (beyond > step / 2) clipped++;
        }
        Assert.InRange(clipped, before.Length / 20, before.Length / 2);
        Assert.Equal((double)clipped / before.Length, ResultTensors.ClippedShare(before, make(0)), 2.0 / before.Length);
    }

    [Fact]
    public void ABranchIsTakenFromTheWeightFirst()
    {
        var weight = new UniformWeight(2, 2, new UniformGrid(2, symmetric: true, Granularity.Channel), [0, 1, 2, 3], [1, 1], null, ScaleType.Float32);
        // The ends are -2 and 1: of -2.6 and 1.5 the first is clipped, and half a step alone is not.
        float[] before = [-2.6f, 1.5f, 1.4f, -2];
        Assert.Equal(0.25, ResultTensors.ClippedShare(before, weight));
        Assert.Equal(0.5, ResultTensors.ClippedShare(before, weight.WithBranch(new LowRankBranch(1, [0, -0.5f], [1, -0.2f], 16))));
    }

    // All values that the code of each weight can have, in order.
    private static IEnumerable<(double[] Sorted, CodeRange Range)> Values(Func<byte, QuantizedWeight> make)
    {
        QuantizedWeight one = make(0);
        int size = Columns / one.Grid.GroupsPerRow(Columns);
        float[][] all = [.. Enumerable.Range(0, one.Grid.MaxCode + 1).Where(code => one is not FloatWeight floats || !float.IsNaN(floats.Grid.Codes.Values[code])).Select(code =>
        {
            var values = new float[Rows * Columns];
            make((byte)code).Dequantize(values);
            return values;
        })];
        for (int i = 0; i < Rows * Columns; i++) yield return ([.. all.Select(values => (double)values[i]).Order().Distinct()], one.RangeOf(i / Columns, i % Columns / size));
    }

    private static Func<byte, QuantizedWeight> Maker(string kind, Random random)
    {
        float Scale() => (float)(Half)(0.01 + (0.1 * random.NextDouble()));
        T[] Many<T>(int count, Func<T> make) => [.. Enumerable.Range(0, count).Select(_ => make())];
        static byte[] Codes(byte code) => [.. Enumerable.Repeat(code, Rows * Columns)];
        if (TwoLevelGrid.Find(kind) is { } twoLevel)
        {
            int blocks = Rows * Columns / TwoLevelGrid.BlockSize, groups = Rows * Columns / twoLevel.GroupSize;
            var scales = new TwoLevelScales(
                Many(blocks, () => (Half)Scale()), Many(groups, () => (sbyte)(twoLevel.Symmetric && random.Next(2) == 0 ? random.Next(twoLevel.MinScale, 0) : random.Next(1, twoLevel.MaxScale + 1))),
                twoLevel.Symmetric ? null : Many(blocks, () => (Half)Scale()), twoLevel.Symmetric ? null : Many(groups, () => (byte)random.Next(twoLevel.MaxMinimum + 1)));
            return code => new TwoLevelWeight(Rows, Columns, twoLevel, Codes(code), scales);
        }
        if (FloatGrid.Find(kind) is { } floats)
        {
            float[] scales = Many(floats.ScaleRows(Rows) * floats.GroupsPerRow(Columns), () => floats.Scaling switch { FloatScaling.PowerOfTwo => MathF.ScaleB(1, random.Next(-8, 0)), FloatScaling.Float8 => SmallFloat.E4M3.Round(100 * Scale()), _ => Scale() });
            return code => new FloatWeight(Rows, Columns, floats, Codes(code), scales, ScaleType.Float16, floats.Scaling == FloatScaling.Float8 ? 17 : 1);
        }
        if (kind == "affine")
        {
            float[] scales = Many(Rows * Columns / 64, Scale), minima = Many(Rows * Columns / 64, () => -4 * Scale());
            return code => new AffineWeight(Rows, Columns, new AffineGrid(4, 64), Codes(code), scales, [.. minima.Select(minimum => (float)(Half)minimum)], ScaleType.Float16);
        }
        var grid = new UniformGrid(3, symmetric: kind is "symmetric channel" or "negative scales", kind switch { "tensor" => Granularity.Tensor, "asymmetric g32" => Granularity.Group, _ => Granularity.Channel }, kind == "asymmetric g32" ? 32 : 0);
        int count = (int)grid.ScaleCount(Rows, Columns);
        float[] steps = Many(count, () => kind == "negative scales" ? -Scale() : Scale());
        byte[]? zeros = grid.Symmetric ? null : Many(count, () => (byte)random.Next(8));
        return code => new UniformWeight(Rows, Columns, grid, Codes(code), steps, zeros, ScaleType.Float16);
    }
}
