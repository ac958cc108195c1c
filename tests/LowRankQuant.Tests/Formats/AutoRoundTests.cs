using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.AutoRound;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests.Formats;

public class AutoRoundTests
{
    [Theory]
    [InlineData("w4-g32-sym")]
    [InlineData("w2-g32-sym")]
    [InlineData("w3-g32-sym")]
    [InlineData("w2-g32-asym")]
    [InlineData("w4-g32-asym")]
    [InlineData("w4-row-sym-gptq")]
    public void AFolderOfTheLibraryGivesItsCodesScalesAndValuesAndItsBytes(string name)
    {
        using SafetensorsFolder model = SafetensorsFolder.Open(TestData.Path("golden", "autoround", name));
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "autoround", name + ".golden.safetensors"));
        JsonElement json = GoldenWeights.Config("autoround", name);
        bool plainGptq = json.GetProperty("quant_method").GetString() == GptqConfig.QuantMethod;
        AutoRoundConfig config = plainGptq ? new AutoRoundConfig(GptqConfig.Parse(json, name), null) : AutoRoundConfig.Parse(json, name);
        OrderedWeight Read(string module) => config.Gptq is { } gptq
            ? GptqReader.Read(model, module, gptq.Common)
            : new OrderedWeight(AwqReader.Read(model, module, config.Awq!.Common), null);
        foreach (string module in GoldenWeights.Modules)
        {
            OrderedWeight read = Read(module);
            Assert.Null(read.Columns);
            Assert.Equal(GoldenWeights.Bytes(golden, module + ".codes"), read.Weight.Codes);
            Assert.Equal(GoldenWeights.Floats(golden, module + ".scales"), read.Weight.Scales);
            byte[] zeros = GoldenWeights.Bytes(golden, module + ".zeros");
            Assert.Equal(zeros, read.Weight.ZeroPoints ?? [.. zeros.Select(_ => (byte)read.Weight.Grid.SymmetricZero)]);
            float[] values = new float[read.Weight.Codes.Length];
            read.Dequantize(values);
            Assert.Equal(GoldenWeights.Floats(golden, module + ".dequant_f32"), values);
            if (golden.Contains(module + ".dequant_kernel")) GptqTests.AssertValues(GoldenWeights.Floats(golden, module + ".dequant_kernel"), read);
            if (name.EndsWith("-sym", StringComparison.Ordinal)) Assert.Contains(read.Weight.Scales, scale => scale < 0);
        }
        PendingTensor[] tensors = [.. GoldenWeights.Quantized(model, GptqReader.Codes).SelectMany(module =>
        {
            PendingWeight weight = PendingWeight.Of(module, Read(module).Weight);
            return config.Gptq is { } gptq ? GptqWriter.Tensors(weight, gptq.Common.ZeroPoints, groupIndex: plainGptq) : AwqWriter.Tensors(weight);
        })];
        GoldenWeights.AssertSameFile(model, tensors);
    }

    [Theory]
    [InlineData("""{"bits": 4, "group_size": 32, "packing_format": "auto_round:marlin"}""", "unsupported-format")]
    [InlineData("""{"bits": 4, "group_size": 32, "data_type": "mx_fp"}""", "unsupported-weights")]
    [InlineData("""{"bits": 4, "group_size": 32, "act_bits": 8}""", "unsupported-weights")]
    [InlineData("""{"bits": 5, "group_size": 32, "packing_format": "auto_round"}""", "unsupported-bits")]
    [InlineData("""{"bits": 2, "group_size": 32, "packing_format": "auto_round:auto_awq"}""", "unsupported-bits")]
    [InlineData("""{"bits": 4, "group_size": 32, "extra_config": {"lm_head": {"bits": 5}}}""", "unsupported-bits")]
    [InlineData("""{"bits": 4, "group_size": 32, "extra_config": {"lm_head": {"bits": 4, "super_bits": 6}}}""", "unsupported-dynamic")]
    [InlineData("""{"bits": 4, "group_size": 32, "extra_config": {"lm_head": {"data_type": "mx_fp"}}}""", "unsupported-weights")]
    [InlineData("""{"bits": 4, "group_size": 32, "extra_config": {"lm_head": {"act_bits": 8}}}""", "unsupported-weights")]
    [InlineData("""{"bits": 4, "group_size": 32, "extra_config": {".*(up": {"bits": 8}}}""", "config-pattern")]
    [InlineData("""{"bits": 4, "group_size": 32, "extra_config": {"lm_head": 8}}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 32, "packing_format": "auto_round:auto_awq", "extra_config": {"lm_head": {"bits": 8}}}""", "unsupported-bits")]
    public void ConfigurationsThatCannotBeReadAreRefused(string json, string kind)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        Assert.Equal(kind, Assert.Throws<CheckpointFormatException>(() => AutoRoundConfig.Parse(document.RootElement, "config.json")).Kind);
    }
}
