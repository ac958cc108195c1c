using System.Runtime.InteropServices;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

/// <summary>Blocks read as codes, stored scales and zero points: the reference's own, random ones, and whole files.</summary>
public sealed class GgufBlockDecoderTests
{
    public static TheoryData<string> Mappings => [.. GgufMappings.IntegerGrids];

    public static TheoryData<string> Types => ["Q4_0", "Q5_0", "Q8_0", "Q2_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"];

    [Theory]
    [MemberData(nameof(Mappings))]
    public void TheBytesOfTheReferenceGiveItsCodesScalesAndZeroPoints(string name)
    {
        (QuantizedWeight expected, GgmlType type) = GgufMappings.Read(name);
        QuantizedWeight read = Read(type, GgufMappings.Bytes(name, "blocks"), expected.OutFeatures, expected.InFeatures)!;
        Assert.Equal(expected.Codes, read.Codes);
        if (expected is TwoLevelWeight native)
        {
            var same = Assert.IsType<TwoLevelWeight>(read);
            Assert.Equal(native.Grid, same.Grid);
            Assert.Equal(native.Scales.BlockScales, same.Scales.BlockScales);
            Assert.Equal(native.Scales.GroupScales, same.Scales.GroupScales);
            return;
        }
        var run = (UniformWeight)expected;
        var uniform = Assert.IsType<UniformWeight>(read);
        // Three bits with a zero point lie in blocks of four.
        Assert.Equal(run.Grid with { Bits = name == "int3-asym-row" ? 4 : run.Grid.Bits }, uniform.Grid);
        Assert.Equal(run.Scales, uniform.Scales);
        Assert.Equal(run.ZeroPoints, uniform.ZeroPoints);
        // And back into the same bytes.
        Assert.Equal(GgufMappings.Bytes(name, "blocks"), GgufMappings.Encode(uniform, type));
    }

    [Theory]
    [InlineData("int4-float-min-g32", GgmlType.Q4_1)]
    [InlineData("int5-float-min-g32", GgmlType.Q5_1)]
    public void AFloatMinimumIsReadAsItIsAndWrittenBack(string name, GgmlType type)
    {
        var read = Assert.IsType<AffineWeight>(Read(type, GgufMappings.Bytes(name, "blocks"), 6, 256));
        AffineWeight expected = GgufMappings.ReadMinima(name);
        Assert.Equal((expected.Grid, ScaleType.Float16), (read.Grid, read.ScaleType));
        Assert.Equal(expected.Codes, read.Codes);
        Assert.Equal(expected.Scales, read.Scales);
        Assert.Equal(expected.Minima, read.Minima);
        Assert.Equal(GgufMappings.Bytes(name, "blocks"), GgufMappings.Encode(read, type));
    }

    [Fact]
    public void ABlockWithoutAScaleIsItsMinimum()
    {
        byte[] blocks = new byte[2 * 20];
        blocks.AsSpan().Fill(0x5A);
        BitConverter.TryWriteBytes(blocks, (Half)0);
        BitConverter.TryWriteBytes(blocks.AsSpan(2), (Half)0.75);
        BitConverter.TryWriteBytes(blocks.AsSpan(20), (Half)2);
        BitConverter.TryWriteBytes(blocks.AsSpan(22), (Half)0.3);
        var weight = Assert.IsType<AffineWeight>(Read(GgmlType.Q4_1, blocks, 1, 64));
        float[] values = new float[64];
        weight.Dequantize(values);
        Assert.All(values[..32], value => Assert.Equal(0.75f, value));
        Assert.Equal((20 + (float)(Half)0.3, 10 + (float)(Half)0.3), (values[32], values[63]));
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void RandomBlocksHaveTheValuesOfGgml(string name)
    {
        var type = Enum.Parse<GgmlType>(name);
        byte[] blocks = File.ReadAllBytes(TestData.Path("golden", "gguf", "blocks", $"{name}.blocks"));
        float[] expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(TestData.Path("golden", "gguf", "blocks", $"{name}.f32"))).ToArray();
        QuantizedWeight weight = Read(type, blocks, 4, expected.Length / 4)!;
        var values = new float[expected.Length];
        weight.Dequantize(values);
        Assert.Equal(expected, values);
    }

    [Fact]
    public void ABlockWithoutAScaleIsZeroAndNoScaleOfAGridIs()
    {
        byte[] blocks = new byte[2 * 18];
        blocks.AsSpan().Fill(0x5A);
        BitConverter.TryWriteBytes(blocks, (Half)0);
        BitConverter.TryWriteBytes(blocks.AsSpan(18), (Half)(-0.5));
        var weight = Assert.IsType<UniformWeight>(Read(GgmlType.Q4_0, blocks, 1, 64));
        Assert.Equal([MathF.ScaleB(1, -14), -0.5f], weight.Scales);
        Assert.All(weight.Codes[..32], code => Assert.Equal(8, code));
        Assert.Equal((0xA, 0x5), (weight.Codes[32], weight.Codes[63]));
        BitConverter.TryWriteBytes(blocks.AsSpan(18), Half.NaN);
        CheckpointFormatException bad = Assert.Throws<CheckpointFormatException>(() => Read(GgmlType.Q4_0, blocks, 1, 64));
        Assert.Equal(("bad-scale", "w"), (bad.Kind, bad.Item));
    }

    [Theory]
    [InlineData("tinystories-656k", "model-q4_0.gguf", "w4 symmetric g32", 14)]
    [InlineData("tinystories-656k", "model-q8_0.gguf", "w8 symmetric g32", 14)]
    [InlineData("tinystories-656k", "model-f16.gguf", null, 0)]
    [InlineData("mixed", "mixed.gguf", null, 14)]
    public void EveryWeightOfAFileHasItsValuesInTheModelsOrder(string folder, string file, string? grid, int linears)
    {
        using GgufCheckpoint model = GgufCheckpoint.Open(TestData.Path("golden", "gguf", folder, file));
        int read = 0;
        foreach (string name in model.TensorNames.Where(name => name.EndsWith("_proj.weight", StringComparison.Ordinal)).Some())
        {
            if (model.ReadQuantized(name) is not { } weight) continue;
            read++;
            if (grid is not null) Assert.Equal(grid, weight.Grid.ToString());
            float[] expected = new float[weight.Codes.Length], values = new float[expected.Length];
            model.Read(name, expected);
            weight.Dequantize(values);
            Assert.Equal(expected, values);
        }
        Assert.Equal(linears, read);
        Assert.Null(model.ReadQuantized("model.norm.weight"));
        Assert.Null(model.ReadQuantized("no.such.weight"));
    }

    private static QuantizedWeight? Read(GgmlType type, byte[] blocks, int rows, int columns)
    {
        using TemporaryFolder folder = new();
        string path = folder.File("a.gguf");
        GgufWriter.Write(path, [], [new PendingGgufTensor("w", type, [rows, columns], sink => sink.Write(blocks))], TestContext.Current.CancellationToken);
        using GgufFile file = GgufFile.Open(path);
        return GgufBlockDecoder.Read(file, "w");
    }
}
