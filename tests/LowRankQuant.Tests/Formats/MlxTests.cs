using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Mlx;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public class MlxTests
{
    [Theory]
    [InlineData(1, 64)]
    [InlineData(2, 64)]
    [InlineData(3, 32)]
    [InlineData(3, 64)]
    [InlineData(3, 128)]
    [InlineData(4, 32)]
    [InlineData(4, 64)]
    [InlineData(4, 128)]
    [InlineData(5, 64)]
    [InlineData(6, 64)]
    [InlineData(8, 64)]
    public void UnitsGiveTheCodesAndValuesOfTheLibraryAndItsBytes(int bits, int group)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "mlx", "units.safetensors"));
        string name = $"b{bits}.g{group}";
        MlxWeight weight = MlxReader.Read(golden, name, new MlxLayout(bits, group));
        Assert.Equal((24, 384, ScaleType.Float16), (weight.OutFeatures, weight.InFeatures, weight.Type));
        Assert.Equal(GoldenWeights.Bytes(golden, name + ".codes"), weight.Codes);
        float[] values = new float[weight.Codes.Length];
        weight.Dequantize(values);
        Assert.Equal(GoldenWeights.Floats(golden, name + ".dequant"), values);
        foreach (PendingTensor tensor in MlxWriter.Tensors(name, 24, 384, weight.Layout, weight.Type, () => weight))
            Assert.Equal(golden.GetBytes(tensor.Name, 0, (int)tensor.ByteLength).ToArray(), GoldenWeights.Written(tensor));
    }

    [Fact]
    public void AnIntegerGridIsHeldWhereItsBiasIsExact()
    {
        UniformGrid grid = new(4, false, Granularity.Group, 32);
        byte[] codes = [.. Enumerable.Range(0, 64).Select(i => (byte)(i % 16))];
        // 1.9921875 = 255/128 has 8 significant bits: times 15 it needs 12, one more than a half has.
        UniformWeight exact = new(1, 64, grid, codes, [127f / 128, -0.75f], [15, 11], ScaleType.Float16);
        MlxWeight held = MlxWeight.FromGrid(exact)!;
        UniformWeight back = held.ToGrid()!;
        Assert.Equal((exact.Grid, exact.ScaleType), (back.Grid, back.ScaleType));
        Assert.Equal(exact.ZeroPoints, back.ZeroPoints);
        Assert.Equal(exact.Scales, back.Scales);
        float[] values = new float[64], expected = new float[64];
        held.Dequantize(values);
        exact.Dequantize(expected);
        Assert.Equal(expected, values);
        Assert.Null(MlxWeight.FromGrid(new UniformWeight(1, 64, grid, codes, [255f / 128, 1], [15, 1], ScaleType.Float16)));
        UniformWeight symmetric = new(1, 64, grid with { Symmetric = true }, codes, [255f / 128, 1], null, ScaleType.Float16);
        Assert.True(MlxWeight.FromGrid(symmetric)!.ToGrid()!.Grid.Symmetric);
        Assert.Null((held with { Biases = [0.3f, 1] }).ToGrid());
    }

    [Theory]
    [InlineData(2, 64)]
    [InlineData(3, 32)]
    [InlineData(4, 128)]
    [InlineData(8, 64)]
    public void BiasesAreFloatMinimaAsTheyAre(int bits, int group)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "mlx", "units.safetensors"));
        MlxWeight held = MlxReader.Read(golden, $"b{bits}.g{group}", new MlxLayout(bits, group));
        AffineWeight affine = held.ToAffine()!;
        Assert.Equal((new AffineGrid(bits, group), held.Type), (affine.Grid, affine.ScaleType));
        MlxWeight back = MlxWeight.FromAffine(affine);
        Assert.Equal((held.Layout, held.Codes, held.Scales, held.Biases), (back.Layout, back.Codes, back.Scales, back.Biases));
        // MLX rounds twice to halves; the grid does not.
        float[] values = new float[held.Codes.Length], expected = new float[held.Codes.Length];
        affine.Dequantize(values);
        held.Dequantize(expected);
        for (int i = 0; i < values.Length; i++) Assert.Equal(expected[i], values[i], 2e-3f * (Math.Abs(affine.Minima[i / group]) + Math.Abs(values[i])));
        Assert.Null((held with { Scales = new float[held.Scales.Length] }).ToAffine());
    }

    [Fact]
    public void ShapesThatDoNotFitAreRefusedByTensor()
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "mlx", "units.safetensors"));
        string Kind(string module, int bits, int group) => Assert.Throws<CheckpointFormatException>(() => MlxReader.Read(golden, module, new MlxLayout(bits, group))).Kind;
        Assert.Equal("size-mismatch", Kind("b4.g64", 8, 64));
        Assert.Equal("size-mismatch", Kind("b4.g64", 4, 32));
        Assert.Equal("missing-tensor", Kind("nothing", 4, 64));
    }

    [Fact]
    public void LayersMayHaveALayoutOfTheirOwn()
    {
        MlxConfig Parse(string json)
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return MlxConfig.Parse(document.RootElement, "config.json");
        }

        MlxConfig config = Parse("""{"group_size": 64, "bits": 4, "a.b": {"group_size": 32, "bits": 3}, "lm_head": false, "c": true}""");
        Assert.Equal(new MlxLayout(4, 64), config.For("anything"));
        Assert.Equal(new MlxLayout(4, 64), config.For("c"));
        Assert.Equal(new MlxLayout(3, 32), config.For("a.b"));
        Assert.Null(config.For("lm_head"));
        foreach (string bad in new[] { """{"group_size": 64, "bits": 7}""", """{"bits": 4}""", """{"group_size": -1, "bits": 4}""", """{"group_size": 64, "bits": 4, "mode": "mxfp4"}""" })
            Assert.Throws<CheckpointFormatException>(() => Parse(bad));
        MlxConfig ours = Parse(MlxConfig.Build(new MlxLayout(4, 64), [new("a.b", new MlxLayout(2, 32))], ["c.d"]).ToJsonString());
        Assert.Equal((new MlxLayout(4, 64), new MlxLayout(2, 32)), (ours.For("x"), ours.For("a.b")));
        Assert.Null(ours.For("c.d"));
    }
}
