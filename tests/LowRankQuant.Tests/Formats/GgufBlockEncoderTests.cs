using System.Runtime.InteropServices;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Blocks;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

/// <summary>Codes, stored scales and zero points against the bytes that ggml reads as their values, and floats against its own rounding.</summary>
public sealed class GgufBlockEncoderTests
{
    public static TheoryData<string> Mappings => [.. GgufMappings.IntegerGrids];

    public static TheoryData<string> SimpleTypes => ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];

    [Fact]
    public void EveryMappingOfTheReferenceIsTried()
    {
        // The two with float minima are looked at below.
        string[] listed = [.. GgufMappings.All().Select(mapping => mapping.GetProperty("name").GetString()!)];
        Assert.Equal(listed.Where(name => !name.Contains("float-min", StringComparison.Ordinal)).Order(), GgufMappings.IntegerGrids.Order());
    }

    [Theory]
    [MemberData(nameof(Mappings))]
    public void CodesAndScalesGiveTheBytesOfTheReference(string name)
    {
        (QuantizedWeight weight, GgmlType type) = GgufMappings.Read(name);
        byte[] expected = GgufMappings.Bytes(name, "blocks");
        Assert.Equal(expected, GgufMappings.Encode(weight, type));
        // The value as ggml decodes it is the value of the grid.
        float[] values = new float[weight.Codes.Length];
        weight.Dequantize(values);
        Assert.Equal(MemoryMarshal.Cast<byte, float>(GgufMappings.Bytes(name, "f32")).ToArray(), values);
    }

    [Theory]
    [MemberData(nameof(Mappings))]
    public void TheSmallestTypeIsThatOfTheReference(string name)
    {
        (QuantizedWeight weight, GgmlType type) = GgufMappings.Read(name);
        GgufFit fit = GgufFit.Of(weight);
        Assert.Equal(type, fit.Type);
        Assert.Equal(8.0 * GgufMappings.Bytes(name, "blocks").Length / weight.Codes.Length, fit.BitsPerWeight);
    }

    [Theory]
    [InlineData("int4-float-min-g32", "Q4_1")]
    [InlineData("int5-float-min-g32", "Q5_1")]
    public void LearnedMinimaArePackedAsTheyAre(string name, string type)
    {
        AffineWeight weight = GgufMappings.ReadMinima(name);
        GgufFit fit = GgufFit.Of(weight);
        Assert.Equal((Enum.Parse<GgmlType>(type), (double)weight.StoredBits / weight.Codes.Length), (fit.Type, fit.BitsPerWeight));
        Assert.Equal(GgufMappings.Bytes(name, "blocks"), GgufMappings.Encode(weight, fit.Type!.Value));
        float[] values = new float[weight.Codes.Length];
        weight.Dequantize(values);
        Assert.Equal(MemoryMarshal.Cast<byte, float>(GgufMappings.Bytes(name, "f32")).ToArray(), values);
        // Bytes in the larger groups that blocks repeat are the same.
        Assert.Equal(type == "Q4_1" ? GgmlType.Q4_1 : GgmlType.Q5_1, GgufFit.Of(new AffineGrid(weight.Grid.Bits, 128), 256, ScaleType.Float16).Type);
        byte[] codes = GgufMappings.Bytes(name, "codes.i8"), expected = GgufMappings.Bytes(name, "blocks");
        ReadOnlySpan<ushort> scales = MemoryMarshal.Cast<byte, ushort>(GgufMappings.Bytes(name, "scales.f16")), minima = MemoryMarshal.Cast<byte, ushort>(GgufMappings.Bytes(name, "mins.f16"));
        int size = expected.Length / scales.Length;
        byte[] block = new byte[size];
        for (int i = 0; i < scales.Length; i++)
        {
            var content = new BlockContent { Codes = codes.AsSpan(32 * i, 32), Scale = scales[i], Minimum = minima[i] };
            if (type == "Q4_1") Q4_1.Encode(content, block);
            else Q5_1.Encode(content, block);
            Assert.Equal(expected.AsSpan(i * size, size).ToArray(), block);
        }
    }

    [Theory]
    [MemberData(nameof(SimpleTypes))]
    public void FloatsAreRoundedAsGgmlRoundsThem(string type)
    {
        float[] values = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(TestData.Path("golden", "gguf", "blocks", type + ".encode.f32"))).ToArray();
        byte[] expected = File.ReadAllBytes(TestData.Path("golden", "gguf", "blocks", type + ".encode.blocks")), actual = new byte[expected.Length];
        ReferenceRounding.Round(Enum.Parse<GgmlType>(type), values, actual);
        Assert.Equal(expected, actual);
    }

    [Theory]
    [InlineData(2, false, 32, "Q4_0")]
    [InlineData(3, false, 32, "Q4_0")]
    [InlineData(3, false, 96, "Q4_0")]
    [InlineData(3, true, 64, "Q4_0")]
    [InlineData(4, false, 32, "Q5_0")]
    [InlineData(4, false, 0, "Q5_0")]
    [InlineData(5, false, 64, "Q8_0")]
    [InlineData(7, false, 64, "Q8_0")]
    [InlineData(7, true, 0, "Q8_0")]
    [InlineData(8, true, 32, "Q8_0")]
    public void WhateverIsEncodedDecodesToTheSameValues(int bits, bool symmetric, int groupSize, string expected)
    {
        // Rows of 192 inputs hold no K block, so grids of few bits go into wider blocks.
        var grid = new UniformGrid(bits, symmetric, groupSize == 0 ? Granularity.Channel : Granularity.Group, groupSize);
        UniformWeight weight = Random(grid, 5, 192, scaleBits: 11);
        GgufFit fit = GgufFit.Of(weight);
        Assert.Equal(expected, fit.Type.ToString());
        Assert.Equal(fit.Type, GgufFit.Of(grid, 192, ScaleType.Float16).Type);
        CheckDecoded(weight, fit.Type!.Value);
    }

    [Theory]
    [InlineData(4, 7, "Q4_1")]
    [InlineData(4, 8, "Q5_0")]
    [InlineData(5, 6, "Q5_1")]
    [InlineData(5, 7, "Q8_0")]
    public void FewerBitsOfAScaleMakeSmallerBlocks(int bits, int scaleBits, string expected)
    {
        var grid = new UniformGrid(bits, false, Granularity.Group, 32);
        UniformWeight weight = Random(grid, 40, 192, scaleBits);
        GgmlType type = GgufFit.Of(weight).Type!.Value;
        Assert.Equal(expected, type.ToString());
        Assert.Equal(type, GgufFit.Of(grid, 192, ScaleType.Float16, scaleBits).Type);
        CheckDecoded(weight, type);
        Assert.Equal(11 - bits, GgufFit.ScaleBits(grid, 192));
        Assert.Equal(11, GgufFit.ScaleBits(new UniformGrid(bits, false, Granularity.Channel), 256));
    }

    [Theory]
    [MemberData(nameof(TwoLevelNames))]
    public void TwoLevelGridsDecodeToTheSameValues(string name)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        var random = new SeededRandom(11);
        byte[] codes = [.. Enumerable.Range(0, 3 * 512).Select(_ => (byte)random.NextInt32(grid.MaxCode + 1))];
        Half[] blocks() => [.. Enumerable.Range(0, 6).Select(_ => (Half)(0.001 + random.NextUniform()))];
        int groups = 3 * 512 / grid.GroupSize;
        var scales = new TwoLevelScales(
            blocks(),
            [.. Enumerable.Range(0, groups).Select(_ => (sbyte)(grid.MinScale + random.NextInt32(grid.MaxScale - grid.MinScale + 1)))],
            grid.Symmetric ? null : blocks(),
            grid.Symmetric ? null : [.. Enumerable.Range(0, groups).Select(_ => (byte)random.NextInt32(grid.MaxMinimum + 1))]);
        var weight = new TwoLevelWeight(3, 512, grid, codes, scales);
        GgufFit fit = GgufFit.Of(weight);
        Assert.Equal(name, fit.Type.ToString());
        Assert.Equal(weight.BitsPerWeight, fit.BitsPerWeight);
        CheckDecoded(weight, fit.Type!.Value);
    }

    public static TheoryData<string> TwoLevelNames => [.. TwoLevelGrid.All.Select(grid => grid.Name)];

    [Fact]
    public void WhatDoesNotFitIsRefusedWithTheNearestGrid()
    {
        GgufFit eight = GgufFit.Of(Random(new UniformGrid(8, false, Granularity.Channel), 2, 64, 11));
        Assert.Null(eight.Type);
        Assert.Contains("no block with zero points has more than 5 bits", eight.Reason, StringComparison.Ordinal);
        Assert.Equal(("w8 symmetric channel", GgmlType.Q8_0, 8.5), (eight.Nearest!.Grid.ToString(), eight.Nearest.Type, eight.Nearest.BitsPerWeight));

        GgufFit small = GgufFit.Of(new UniformGrid(3, true, Granularity.Group, 16), 576, ScaleType.Float16);
        Assert.Contains("groups of 16", small.Reason, StringComparison.Ordinal);
        // Blocks of Q4_0 hold four bits at no more cost than three.
        Assert.Equal("w4 symmetric g32 with Float16 scales (Q4_0, 4.5 bits per weight)", small.Nearest!.ToString());
        // The native groups of the engine, where rows allow them.
        Assert.Equal(TwoLevelGrid.Q3K, GgufFit.Of(new UniformGrid(3, true, Granularity.Group, 16), 512, ScaleType.Float16).Nearest!.Grid);

        GgufFit wide = GgufFit.Of(new UniformGrid(4, false, Granularity.Channel), 256, ScaleType.Float32);
        Assert.Contains("scales stored as Float32", wide.Reason, StringComparison.Ordinal);
        Assert.Equal(("w4 asymmetric channel", ScaleType.Float16, GgmlType.Q4_K), (wide.Nearest!.Grid.ToString(), wide.Nearest.ScaleType, wide.Nearest.Type));

        GgufFit odd = GgufFit.Of(new UniformGrid(4, true, Granularity.Channel), 100, ScaleType.Float16);
        Assert.Contains("rows of 100", odd.Reason, StringComparison.Ordinal);
        Assert.Null(odd.Nearest);
        Assert.Throws<ArgumentException>(() => GgufBlockEncoder.For(Random(new UniformGrid(4, true, Granularity.Channel), 1, 64, 11), GgmlType.Q2_0));
    }

    [Fact]
    public void ValuesOfOtherScaleTypesFitWhereTheyAreHalves()
    {
        // bfloat16 has fewer significant bits than a half, so scales of ordinary size are halves too; tiny ones are not.
        var grid = new UniformGrid(4, false, Granularity.Channel);
        byte[] codes = [.. Enumerable.Range(0, 256).Select(i => (byte)(i % 16))];
        Assert.Equal(GgmlType.Q4_K, GgufFit.Of(new UniformWeight(1, 256, grid, codes, [0.01171875f], [3], ScaleType.BFloat16)).Type);
        Assert.Null(GgufFit.Of(new UniformWeight(1, 256, grid, codes, [MathF.ScaleB(1.5f, -26)], [3], ScaleType.BFloat16)).Type);
        Assert.Equal(GgmlType.Q4_1, GgufFit.Of(Minima(0.01171875f, -0.0625f)).Type);
        foreach (AffineWeight tiny in new[] { Minima(MathF.ScaleB(1.5f, -26), -0.0625f), Minima(0.01171875f, MathF.ScaleB(-1.5f, -26)) })
        {
            Assert.Null(GgufFit.Of(tiny).Type);
            Assert.Contains("scales and minima stored as BFloat16 are not all IEEE halves", GgufFit.Of(tiny).Reason, StringComparison.Ordinal);
        }

        AffineWeight Minima(float scale, float minimum) => new(1, 256, new AffineGrid(4, 256), codes, [scale], [minimum], ScaleType.BFloat16);
    }

    private static void CheckDecoded(QuantizedWeight weight, GgmlType type)
    {
        float[] expected = new float[weight.Codes.Length], actual = new float[expected.Length];
        weight.Dequantize(expected);
        using TemporaryFolder folder = new();
        string path = folder.File("a.gguf");
        GgufWriter.Write(path, [], [new PendingGgufTensor("w", type, [weight.OutFeatures, weight.InFeatures], sink => sink.Write(GgufMappings.Encode(weight, type)))], TestContext.Current.CancellationToken);
        using GgufFile file = GgufFile.Open(path);
        file.ReadSingles("w", actual);
        Assert.Equal(expected, actual);
    }

    private static UniformWeight Random(UniformGrid grid, int rows, int columns, int scaleBits)
    {
        var random = new SeededRandom(7);
        int count = (int)grid.ScaleCount(rows, columns);
        byte[] codes = [.. Enumerable.Range(0, rows * columns).Select(_ => (byte)random.NextInt32(grid.MaxCode + 1))];
        // The lowest bit that counts is set, so that no scale has fewer significant bits by chance.
        float[] scales = [.. Enumerable.Range(0, count).Select(_ => MathF.ScaleB((1 << (scaleBits - 1)) | 1 | random.NextInt32(1 << (scaleBits - 1)), -scaleBits - 4))];
        byte[]? zeros = grid.Symmetric ? null : [.. Enumerable.Range(0, count).Select(_ => (byte)random.NextInt32(grid.MaxCode + 1))];
        return new UniformWeight(rows, columns, grid, codes, scales, zeros, ScaleType.Float16);
    }
}
