#pragma warning disable xUnit1051 // These writes take milliseconds; a cancelled run need not interrupt them.
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public class AwqTests
{
    [Theory]
    [InlineData("w4-g32")]
    [InlineData("w4-g64")]
    public void AFolderOfTheLibraryGivesItsCodesScalesAndValuesAndItsBytes(string name)
    {
        using SafetensorsFolder model = SafetensorsFolder.Open(TestData.Path("golden", "awq", name));
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "awq", name + ".golden.safetensors"));
        AwqLayout layout = AwqConfig.Parse(GoldenWeights.Config("awq", name), name).Common;
        foreach (string module in GoldenWeights.Modules)
        {
            UniformWeight weight = AwqReader.Read(model, module, layout);
            Assert.Equal(GoldenWeights.Bytes(golden, module + ".codes"), weight.Codes);
            Assert.Equal(GoldenWeights.Bytes(golden, module + ".zeros"), weight.ZeroPoints);
            Assert.Equal(GoldenWeights.Floats(golden, module + ".scales"), weight.Scales);
            GptqTests.AssertValues(GoldenWeights.Floats(golden, module + ".dequant"), new OrderedWeight(weight, null));
        }
        PendingTensor[] tensors = [.. GoldenWeights.Quantized(model, AwqReader.Codes).SelectMany(module =>
            AwqWriter.Tensors(PendingWeight.Of(module, AwqReader.Read(model, module, layout))))];
        Assert.Equal(14 * 3, tensors.Length);
        GoldenWeights.AssertSameFile(model, tensors);
    }

    [Theory]
    [InlineData(64, 32, 32)]
    [InlineData(128, 64, 64)]
    [InlineData(256, 32, 128)]
    public void UnitsArePackedAsAutoAwqPacksThem(int columns, int rows, int group)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "awq", "units.safetensors"));
        string name = $"{columns}x{rows}-g{group}";
        UniformWeight weight = new(
            rows, columns, new UniformGrid(4, false, Granularity.Group, group), GoldenWeights.Bytes(golden, name + ".codes"),
            GoldenWeights.Floats(golden, name + ".scales_plain"), GoldenWeights.Bytes(golden, name + ".zeros"), ScaleType.Float16);
        GptqTests.AssertValues(GoldenWeights.Floats(golden, name + ".dequant"), new OrderedWeight(weight, null));
        foreach (PendingTensor tensor in AwqWriter.Tensors(PendingWeight.Of(name, weight)))
            Assert.Equal(golden.GetBytes(tensor.Name, 0, (int)tensor.ByteLength).ToArray(), GoldenWeights.Written(tensor));
        UniformWeight read = AwqReader.Read(golden, name, new AwqLayout(group));
        Assert.Equal(weight.Codes, read.Codes);
        Assert.Equal(weight.ZeroPoints, read.ZeroPoints);
        Assert.Equal(weight.Scales, read.Scales);
    }

    [Fact]
    public void AWordOfTheOutputsZeroToSevenIsTheKnownOne() => Assert.Equal([0x75316420u], AwqOrder.Pack([0, 1, 2, 3, 4, 5, 6, 7]));

    [Theory]
    [InlineData("""{"bits": 8, "group_size": 32}""", "unsupported-bits")]
    [InlineData("""{"bits": 4}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": -2}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 32, "version": "gemv"}""", "unsupported-format")]
    [InlineData("""{"bits": 4, "group_size": 32, "zero_point": false}""", "unsupported-format")]
    public void ConfigurationsThatCannotBeReadAreRefused(string json, string kind)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        Assert.Equal(kind, Assert.Throws<CheckpointFormatException>(() => AwqConfig.Parse(document.RootElement, "config.json")).Kind);
    }

    [Fact]
    public void ShapesThatDoNotFitAreRefusedByTensor()
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "awq", "units.safetensors"));
        string Kind(string module, int group) => Assert.Throws<CheckpointFormatException>(() => AwqReader.Read(golden, module, new AwqLayout(group))).Kind;
        Assert.Equal("size-mismatch", Kind("64x32-g32", 64));
        Assert.Equal("group-size", Kind("64x32-g32", 48));
        Assert.Equal("missing-tensor", Kind("nothing", 32));
    }
}
