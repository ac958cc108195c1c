using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public class CompressedTensorsConfigTests
{
    private const string Args = """{"num_bits": 4, "type": "int", "symmetric": true, "strategy": "channel"}""";

    [Theory]
    [InlineData("""[]""", "config-schema")]
    [InlineData("""{"quant_method": "gptq"}""", "quant-method")]
    [InlineData("""{"quant_method": 4}""", "config-schema")]
    [InlineData("""{"quant_method": "compressed-tensors"}""", "config-schema")]
    [InlineData("""{"config_groups": []}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": 1}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": "Linear"}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [1]}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": ["\ud800"]}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"\ud800": {"targets": ["a"]}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": ["re:("]}}}""", "config-pattern")]
    [InlineData("""{"config_groups": {}, "ignore": ["re:*"]}""", "config-pattern")]
    [InlineData("""{"config_groups": {}, "ignore": "lm_head"}""", "config-schema")]
    [InlineData("""{"config_groups": {}, "quantization_status": "frozen"}""", "quantization-status")]
    [InlineData("""{"config_groups": {}, "sparsity_config": {"format": "sparse-24-bitmask"}}""", "unsupported-sparsity")]
    [InlineData("""{"config_groups": {}, "transform_config": {"config_groups": {"u": {"type": "hadamard"}}}}""", "unsupported-transform")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"num_bits": 4.5}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"num_bits": 0}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"num_bits": 1e99}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"type": "fp"}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"strategy": "row"}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"strategy": "group"}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"group_size": 0}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"rotation": 3}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {"g": {"targets": [], "weights": {"symmetric": "yes"}}}}""", "config-schema")]
    [InlineData("""{"config_groups": {}, "kv_cache_scheme": 8}""", "config-schema")]
    public void ABrokenConfigurationIsRefused(string json, string kind) =>
        Assert.Equal(kind, Assert.Throws<CheckpointFormatException>(() => Parse(json)).Kind);

    [Theory]
    [InlineData("{", "config-json")]
    [InlineData("[]", "config-json")]
    [InlineData("""{"a": 1, "a": 2}""", "config-json")]
    [InlineData("""{"quantization_config": {"quant_method": "awq"}}""", "quant-method")]
    public void ABrokenConfigFileIsRefused(string text, string kind)
    {
        using TemporaryFolder folder = new();
        string path = folder.File("config.json");
        File.WriteAllText(path, text);
        Assert.Equal(kind, Assert.Throws<CheckpointFormatException>(() => CompressedTensorsConfig.Load(path)).Kind);
        File.WriteAllText(path, new string('[', 100_000));
        Assert.Equal("config-json", Assert.Throws<CheckpointFormatException>(() => CompressedTensorsConfig.Load(path)).Kind);
    }

    [Fact]
    public void ANameWinsOverAPatternAndAPatternOverAClass()
    {
        string group(string targets) => $$"""{"targets": [{{targets}}], "weights": {{Args}}}""";
        CompressedTensorsConfig config = Parse($$"""
            {"config_groups": {"class": {{group("\"Linear\"")}}, "pattern": {{group("\"re:.*mlp\"")}},
                "name": {{group("\"l.0.mlp.up\", \"l.1.x\"")}}},
             "ignore": ["lm_head", "re:^l\\.2\\.", "re:(?!l)embed", "Router"]}
            """);
        Assert.Equal("name", config.SchemeFor("l.0.mlp.up")!.Name);
        Assert.Equal("pattern", config.SchemeFor("l.1.mlp.up")!.Name);
        Assert.Equal("class", config.SchemeFor("l.1.attn.q")!.Name);
        Assert.Null(config.SchemeFor("l.1.attn", "Attention"));
        Assert.Null(config.SchemeFor("lm_head"));
        Assert.Null(config.SchemeFor("l.2.mlp.up"));
        Assert.Null(config.SchemeFor("embed.x"));
        Assert.Null(config.SchemeFor("l.3.gate", "Router"));
        Assert.Equal("class", config.SchemeFor("x.lm_head")!.Name); // names are whole names
        Assert.Equal("class", config.SchemeFor("x.l.2.q")!.Name); // patterns begin at the start
    }

    [Fact]
    public void ASlowPatternIsRefusedInsteadOfHanging()
    {
        // Look-behind keeps the linear-time engine out; the back-reference makes matching exponential.
        CompressedTensorsConfig config = Parse("""{"config_groups": {}, "ignore": ["re:(?!b)((a+)+)+\\2$"]}""");
        Assert.Equal("config-pattern", Assert.Throws<CheckpointFormatException>(() => config.SchemeFor(new string('a', 60) + "!")).Kind);
        CompressedTensorsConfig linear = Parse("""{"config_groups": {}, "ignore": ["re:(a+)+$"]}""");
        Assert.Null(linear.SchemeFor(new string('a', 60) + "!"));
    }

    [Theory]
    [InlineData("""{"num_bits": 4}""", null, "pack-quantized")]
    [InlineData("""{"num_bits": 4}""", """{"num_bits": 8, "strategy": "token", "dynamic": true}""", "int-quantized")]
    [InlineData("""{"num_bits": 16}""", null, "naive-quantized")]
    [InlineData("""{"num_bits": 8, "type": "float"}""", null, "naive-quantized")]
    [InlineData("""{"num_bits": 8, "type": "float"}""", """{"num_bits": 8, "type": "float"}""", "float-quantized")]
    public void AMissingFormatIsInferred(string weights, string? inputs, string expected)
    {
        string group = $$"""{"targets": ["Linear"], "weights": {{weights}}, "input_activations": {{inputs ?? "null"}}}""";
        Assert.Equal(expected, Parse($$"""{"config_groups": {"g": {{group}} } }""").Schemes[0].Format);
        Assert.Equal(expected, Parse($$"""{"config_groups": {"g": {{group}} }, "format": "mixed-precision"}""").Schemes[0].Format);
        Assert.Equal("dense", Parse($$"""{"config_groups": {"g": {{group}} }, "format": "dense"}""").Schemes[0].Format);
    }

    [Theory]
    [InlineData("0.17.1", true)]
    [InlineData("0.12.3.a20251010", true)]
    [InlineData("0.18.0", false)]
    [InlineData("0.20.0", false)]
    [InlineData("1.2", false)]
    [InlineData("", false)]
    public void TheVersionDecidesThePacking(string version, bool padded) =>
        Assert.Equal(padded, Parse($$"""{"config_groups": {}, "version": "{{version}}"}""").PacksPadded);

    [Fact]
    public void DifferentGridsBecomeGroupsOfNames()
    {
        UniformGrid four = new(4, true, Granularity.Group, 128), three = new(3, false, Granularity.Channel);
        CompressedTensorsConfig config = Parse(CompressedTensorsWriter.BuildConfig([new("a.q", four), new("a.k", three), new("b.q", four)],
            ["lm_head"]).ToJsonString());
        Assert.Equal(["group_0", "group_1"], config.Schemes.Select(s => s.Name));
        Assert.Equal(["a.q", "b.q"], config.Schemes[0].Targets);
        Assert.Equal("pack-quantized", config.Format);
        Assert.Equal(three, config.SchemeFor("a.k")!.Weights!.ToGrid());
        Assert.Equal(four, config.SchemeFor("b.q")!.Weights!.ToGrid());
        Assert.Null(config.SchemeFor("b.k"));
        Assert.False(config.PacksPadded);
        Assert.Throws<ArgumentException>(() => CompressedTensorsWriter.BuildConfig([], []));
        Assert.Throws<ArgumentException>(() => CompressedTensorsWriter.BuildConfig([new("a", four), new("a", three)], []));
    }

    private static CompressedTensorsConfig Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return CompressedTensorsConfig.Parse(document.RootElement, "config.json");
    }
}
