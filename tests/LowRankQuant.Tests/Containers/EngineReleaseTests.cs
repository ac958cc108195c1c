using System.Text.Json.Nodes;
using LowRankQuant.Cli.Output;
using LowRankQuant.Models.Export;
using LowRankQuant.Models.Verification.Engines;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>Verdicts that depend on the release of an engine.</summary>
public class EngineReleaseTests
{
    private static readonly UniformGrid Four = new(4, false, Granularity.Group, 32), FourSymmetric = new(4, true, Granularity.Group, 32);

    [Theory]
    [InlineData("pack-quantized", false, "transformers loads: transformers up to 5.22; 5.23 and 5.24 need CompressedTensorsConfig(dequantize=True): a.down_proj")]
    [InlineData("pack-quantized", true, "transformers loads: with compressed-tensors installed")]
    [InlineData("int-quantized", false, "transformers loads: with compressed-tensors installed")]
    public void TransformersRefusesPackedZeroPointsFrom523On(string format, bool symmetric, string expected) =>
        AssertSays(Judge("compressed-tensors", $$"""{"quantization_status": "compressed", "format": "{{format}}"}""", symmetric ? FourSymmetric : Four), expected);

    [Fact]
    public void TransformersRefusesPackedZeroPointsOfMixedGridsAltogether()
    {
        const string Mixed = """{"quantization_status": "compressed", "format": "mixed-precision", "config_groups": {"group_0": {"format": "pack-quantized"}}}""";
        UniformGrid three = new(3, false, Granularity.Group, 32), eight = new(8, true, Granularity.Group, 32);
        AssertSays(Judge("compressed-tensors", Mixed, FourSymmetric, three), "transformers loads: transformers up to 5.22; 5.23 and 5.24 refuse zero points of mixed grids");
        AssertSays(Judge("compressed-tensors", Mixed, FourSymmetric, eight), "transformers loads: with compressed-tensors installed");
    }

    [Theory]
    [InlineData("gptq", """["lowrankquant:0.1.0"]""", "GPTQModel refuses: v1 with sym false")]
    [InlineData("gptq", "\"gptqmodel:0.8.9\"", "GPTQModel refuses: v1 with sym false")]
    [InlineData("gptq", "null", "GPTQModel refuses: v1 with sym false")]
    [InlineData("gptq", "\"gptqmodel:7.7.0\"", "GPTQModel loads: v1 with zero points")]
    [InlineData("gptq", """["gptqmodel:0.9.0-dev", "other:1"]""", "GPTQModel loads: v1 with zero points")]
    [InlineData("gptq_v2", """["lowrankquant:0.1.0"]""", "GPTQModel fast: kernels for 4 and 8 bits")]
    public void GptqModelLoadsZeroPointsOfVersionOneFromItselfAlone(string format, string quantizer, string expected) => AssertSays(
        Judge("gptq", $$"""{"bits": 4, "group_size": 32, "desc_act": false, "sym": false, "meta": {"quantizer": {{quantizer}} }, "checkpoint_format": "{{format}}"}""", Four),
        expected);

    [Theory]
    [InlineData("mlx")]
    [InlineData("dense")]
    public void MlxAsksForTheEmbeddingOfATiedModel(string container)
    {
        StoredModel model = new(container, [Linear(0, FourSymmetric)], null, null);
        AssertSays(EngineCatalog.Judge(model), "MLX fast");
        AssertSays(
            EngineCatalog.Judge(model with { TiedByHeadAlone = true }),
            "MLX refuses: a tied model needs the embedding, and the folder stores the shared matrix under the head's name alone");
    }

    [Fact]
    public void EveryVerdictNamesReleasesAndTheDayTheyWereChecked()
    {
        foreach (string container in new[] { "compressed-tensors", "gptq", "awq", "mlx", "gguf", "dense", "auto-round" })
        {
            IReadOnlyList<EngineVerdict> verdicts = Judge(container, """{"quantization_status": "compressed"}""", FourSymmetric);
            Assert.NotEmpty(verdicts);
            Assert.All(verdicts, verdict => Assert.Matches(@"^.*\d.*, 20\d\d-\d\d-\d\d$", verdict.Rules.ToString()));
        }
    }

    [Fact]
    public async Task AFolderThatStoresTheSharedMatrixAsAHeadIsToldApart()
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model");
        // A colon closer to the name and spaces behind it, so that the header keeps its length.
        byte[] bytes = File.ReadAllBytes(Path.Combine(model, "model.safetensors"));
        int at = bytes.AsSpan().IndexOf("\"model.embed_tokens.weight\""u8);
        const string Name = "\"model.embed_tokens.weight\":";
        System.Text.Encoding.UTF8.GetBytes("\"lm_head.weight\":".PadRight(Name.Length)).CopyTo(bytes, at);
        File.WriteAllBytes(Path.Combine(model, "model.safetensors"), bytes);
        Assert.Equal("refuses", await Verdict(model, "MLX"));
        Assert.Equal("fast", await Verdict(TestData.Demo, "MLX"));
    }

    [Fact]
    public void AFolderWithAnAdapterIsToldHowToLoadIt()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("config.json"), "{\"quantization_config\": {\"quant_method\": \"compressed-tensors\"}}");
        Assert.Null(AdapterHint.Of(folder.Path));
        Directory.CreateDirectory(folder.File("adapter"));
        File.WriteAllText(folder.File("adapter/adapter_config.json"), "{}");
        string[] lines = AdapterHint.Of(folder.Path)!.Split('\n');
        Assert.Equal(4, lines.Length);
        Assert.Contains("base(torch.tensor", lines[2], StringComparison.Ordinal);
        Assert.Contains($"PeftModel.from_pretrained(base, \"{folder.Path}/adapter\")", lines[3], StringComparison.Ordinal);
    }

    [Fact]
    public async Task AsymmetricVersionOneIsWrittenWithAWarningAndJudgedAsRefused()
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run"), first = folder.File("v1"), second = folder.File("v2");
        // No zero point of 0, which v1 cannot say, in these grids: rows have values of both signs.
        CliResult made = await Lrq.Run(Lrq.Rounding(run, "--bits", "4", "--group-size", "64", "--symmetric", "false", "--scale-dtype", "fp16"));
        Assert.True(made.Code == 0, made.Error);
        CliResult written = await Lrq.Run("export", run, "--to", "gptq", "--gptq-format", "v1", "--out", first, "--json");
        Assert.True(written.Code == 0, written.Error);
        string warning = Assert.Single(JsonNode.Parse(written.Out)!["warnings"]!.AsArray())!.ToString();
        Assert.StartsWith("GPTQModel refuses v1 with sym false", warning, StringComparison.Ordinal);
        Assert.Contains("--gptq-format v2", warning, StringComparison.Ordinal);
        Assert.Contains($"warning: {warning}", written.Error, StringComparison.Ordinal);
        Assert.Equal("refuses", await Verdict(first, "GPTQModel"));
        CliResult plain = await Lrq.Run("export", run, "--to", "gptq", "--out", second, "--json");
        Assert.Empty(JsonNode.Parse(plain.Out)!["warnings"]!.AsArray());
        Assert.Equal("fast", await Verdict(second, "GPTQModel"));
    }

    private static async Task<string> Verdict(string folder, string engine)
    {
        CliResult verified = await Lrq.Run("verify", folder, "--json");
        JsonNode verdict = JsonNode.Parse(verified.Out)!["engines"]!.AsArray().Single(entry => entry!["engine"]!.ToString() == engine)!;
        Assert.Equal("2026-11-28", verdict["checked"]!.ToString());
        return verdict["verdict"]!.ToString();
    }

    private static void AssertSays(IReadOnlyList<EngineVerdict> verdicts, string expected) => Assert.Contains(
        verdicts, verdict => $"{verdict.Engine} {verdict.Support.ToString().ToLowerInvariant()}: {verdict.Reason}".StartsWith(expected, StringComparison.Ordinal));

    private static IReadOnlyList<EngineVerdict> Judge(string container, string config, params UniformGrid[] grids) =>
        EngineCatalog.Judge(new StoredModel(container, [.. grids.Select((grid, at) => Linear(at, grid))], null, JsonNode.Parse(config)!.AsObject()));

    private static ExportLinear Linear(int at, UniformGrid grid) => new($"{(char)('a' + at)}.down_proj", 64, 256, grid, ScaleType.Float16, false);
}
