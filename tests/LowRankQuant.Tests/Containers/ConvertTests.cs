using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>Models of other libraries moved from container to container without rounding.</summary>
public class ConvertTests
{
    // Padded packing and g_idx are read only.
    public static TheoryData<string> CompressedTensors =>
    [
        "w2-g32-sym", "w2-g32-asym", "w2-channel-asym", "w3-channel-sym", "w3-g32-asym", "w4-channel-sym", "w4-channel-asym", "w4-g32-sym", "w4-g32-asym", "w4-g64-asym",
        "w5-channel-asym", "w8-channel-sym", "w8-g32-asym", "w4-g32-asym-f16", "w4-g32-asym-f32", "w4-g32-sym-actorder-weight", "w4-g32-sym-kv8",
        "w4-g32-sym-kv8-head-asym", "w4a8-channel-token-pack", "w8a8-channel-token", "w8a8-channel-token-asym", "w8a8-channel-static-sym",
        "w8a8-channel-static-asym", "w8a8-tensor-static-sym", "w4a8-g32-token", "mixed",
    ];

    [Theory]
    [MemberData(nameof(CompressedTensors))]
    public async Task CompressedTensorsComesBackByteForByteWithItsQuantizers(string name)
    {
        using var folder = new TemporaryFolder();
        string source = TestData.Path("golden", "compressed-tensors", name), output = folder.File("again");
        CliResult result = await Lrq.Run("convert", source, "--to", "compressed-tensors", "--out", output);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Equal(File.ReadAllBytes(Path.Combine(source, "model.safetensors")), File.ReadAllBytes(Path.Combine(output, "model.safetensors")));
        JsonNode theirs = Quantization(source), ours = Quantization(output);
        Assert.Equal(theirs["format"]!.ToString(), ours["format"]!.ToString());
        Assert.Equal(theirs["kv_cache_scheme"]?["strategy"]?.ToString(), ours["kv_cache_scheme"]?["strategy"]?.ToString());
        Assert.Equal(Config(source)["dtype"]!.ToString(), Config(output)["dtype"]!.ToString());
        CliResult verified = await Lrq.Run("verify", output, "--against", source);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
    }

    [Theory]
    [InlineData("gptq", "w4-g32-asym-v1", "compressed-tensors")]
    [InlineData("gptq", "w4-g32-asym-v1", "awq")]
    [InlineData("gptq", "w4-g32-asym-v1", "gptq")]
    [InlineData("gptq", "w4-g32-sym-v1", "mlx")] // k and v have 32 outputs; MLX takes any number
    [InlineData("gptq", "w4-g32-asym-desc_act-v2", "gptq")]
    [InlineData("gptq", "w3-g64-asym-v1", "compressed-tensors")]
    [InlineData("gptq", "w8-row-sym-v1", "gptq --gptq-format v2")]
    [InlineData("gptq", "w4-g32-sym-v1", "dense --dtype fp32")]
    [InlineData("gptq", "w4-g32-asym-desc_act-v2", "dense --dtype fp32")]
    [InlineData("awq", "w4-g32", "gptq")]
    [InlineData("awq", "w4-g64", "compressed-tensors")]
    [InlineData("autoround", "w4-g32-sym", "gptq")]
    [InlineData("autoround", "w2-g32-asym", "gptq --gptq-format v2")]
    [InlineData("autoround", "w3-g32-sym", "compressed-tensors")]
    [InlineData("autoround", "w4-g32-asym", "awq")]
    [InlineData("compressed-tensors", "w4-g32-sym", "awq")]
    [InlineData("compressed-tensors", "w2-g32-asym", "gptq")]
    [InlineData("compressed-tensors", "legacy-w3-g32-asym-padded", "compressed-tensors")]
    [InlineData("compressed-tensors", "legacy-w4-g32-asym-gidx", "gptq")]
    [InlineData("compressed-tensors", "w8-naive", "compressed-tensors")]
    [InlineData("compressed-tensors", "w8a8-channel-token", "gptq --weights-only")]
    [InlineData("compressed-tensors", "w4-g32-sym-kv8", "compressed-tensors --weights-only")]
    public async Task CodesAndScalesAreTheSameInAnotherContainer(string container, string name, string target)
    {
        using var folder = new TemporaryFolder();
        string source = TestData.Path("golden", container, name), output = folder.File("out");
        CliResult result = await Lrq.Run(["convert", source, "--out", output, "--to", .. target.Split(' ')]);
        Assert.Equal((0, ""), (result.Code, result.Error));
        CliResult verified = await Lrq.Run("verify", output, "--against", source, "--json");
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        JsonNode report = JsonNode.Parse(verified.Out)!;
        Assert.Equal(target.StartsWith("dense", StringComparison.Ordinal) ? 0 : 14, (int)report["comparedByCodes"]!);
        Assert.True((bool)report["same"]!);
        Assert.NotEmpty(report["engines"]!.AsArray());
    }

    [Theory]
    [InlineData("gptq", "w4-g32-asym-desc_act-v2", "awq", "activation order")]
    [InlineData("gptq", "w4-g32-asym-desc_act-v2", "compressed-tensors", "activation order")]
    [InlineData("gptq", "w8-row-sym-v1", "awq", "8 bits, and AWQ has 4")]
    [InlineData("gptq", "w2-g32-asym-v2", "gptq --gptq-format v1", "a zero point is 0, which v1 cannot say")]
    [InlineData("compressed-tensors", "w5-channel-asym", "gptq", "5 bits, and GPTQ has 2, 3, 4 and 8")]
    [InlineData("compressed-tensors", "w4-g32-asym-f32", "gptq", "Float32 scales are no Float16 values")]
    [InlineData("compressed-tensors", "w4-g32-sym-kv8", "gptq", "no place for a quantized key-value cache")]
    [InlineData("compressed-tensors", "w8a8-channel-token", "dense", "plain floats have no place for quantized inputs")]
    [InlineData("compressed-tensors", "mixed", "gptq --weights-only", "the configuration has room for one")]
    [InlineData("compressed-tensors", "base", "gptq", "no linear is stored on an integer grid")]
    public async Task WhatDoesNotFitIsRefusedForAllTensorsWithTheNearestThatFits(string container, string name, string target, string rule)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run(["convert", TestData.Path("golden", container, name), "--out", output, "--to", .. target.Split(' ')]);
        Assert.Equal(2, result.Code);
        Assert.Contains(rule, result.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public async Task OptionsAreCheckedTogetherBeforeAnythingIsRead()
    {
        using var folder = new TemporaryFolder();
        CliResult result = await Lrq.Run("convert", "no/such", "--to", "awq", "--dtype", "int8", "--gptq-format", "v3", "--max-rank", "0", "--adapter", "lora", "--shard-size", "x", "--linear", "q3_k",
            "--on-misfit", "round");
        Assert.Equal(2, result.Code);
        foreach (string problem in new[] { "--dtype int8", "--gptq-format v3", "--gptq-format is for --to gptq", "--max-rank 0", "--adapter lora", "--shard-size x", "--linear q3_k", "--on-misfit is for --to gguf", "--out is missing" })
            Assert.Contains(problem, result.Error, StringComparison.Ordinal);
        result = await Lrq.Run("export", TestData.Demo);
        Assert.Contains("--to is missing: one of ", result.Error, StringComparison.Ordinal);
        result = await Lrq.Run("convert", TestData.Demo, "--out", Path.Combine(TestData.Demo, "inside"));
        Assert.Equal(2, result.Code);
        Assert.Contains("lie within each other", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ADifferenceIsFoundAndNamed()
    {
        using var folder = new TemporaryFolder();
        string source = TestData.Path("golden", "gptq", "w4-g32-sym-v1"), damaged = folder.File("damaged");
        foreach ((string tensor, string what) in new[] { ("mlp.up_proj.qweight", "code at [5, 0]"), ("mlp.up_proj.scales", "scale at [5, 0]"), ("input_layernorm.weight", "element 5") })
        {
            ContainerModelTests.CopyFolder(source, damaged);
            string file = Path.Combine(damaged, "model.safetensors");
            long at;
            using (SafetensorsFile model = SafetensorsFile.Open(file))
            {
                TensorEntry entry = model.Tensors["model.layers.1." + tensor];
                at = 8 + BitConverter.ToInt64(File.ReadAllBytes(file).AsSpan(0, 8)) + entry.Begin + (5 * entry.Type.Size());
            }
            byte[] bytes = File.ReadAllBytes(file);
            bytes[at] ^= 1;
            File.WriteAllBytes(file, bytes);
            CliResult result = await Lrq.Run("verify", damaged, "--against", source);
            Assert.Equal(1, result.Code);
            Assert.Contains($"different: model.layers.1.{tensor.Split('.')[0]}", result.Out, StringComparison.Ordinal);
            Assert.Contains(what, result.Out, StringComparison.Ordinal);
            Directory.Delete(damaged, recursive: true);
        }
    }

    private static JsonNode Config(string folder) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!;

    private static JsonNode Quantization(string folder) => Config(folder)["quantization_config"]!;
}
