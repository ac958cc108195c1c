using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models;
using LowRankQuant.Tests.Models.Export;

namespace LowRankQuant.Tests.Vocabulary;

/// <summary>Quantized embeddings and heads in the containers that hold them, and refused by those that do not.</summary>
[Collection(LlamaCppFixture.Collection)]
public sealed class VocabularyExportTests : IDisposable
{
    private static readonly string[] Symmetric = ["--group-size", "32", "--symmetric", "true", "--scale-dtype", "fp16"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("compressed-tensors", 8)]
    [InlineData("mlx", 8)]
    [InlineData("gguf", 8)]
    [InlineData("gguf", 4)]
    public async Task ATiedMatrixKeepsItsCodes(string to, int bits)
    {
        string run = _folder.File("run"), output = _folder.File(to == "gguf" ? "out.gguf" : "out");
        await VocabularyLab.Round(TestData.Demo, run, [.. Symmetric, "--embedding", $"{bits}"]);
        string verified = await Export(run, to, output);
        Assert.Equal(to == "compressed-tensors", verified.Split('\n').Any(line => line.StartsWith("vLLM          refuses", StringComparison.Ordinal)));
        using ICheckpoint stored = CheckpointOpener.Open(output);
        Assert.True(stored.Config.TiedEmbeddings);
        Assert.False(stored.Contains("lm_head.weight"));
        Assert.Equal(bits, stored.ReadQuantized("model.embed_tokens.weight")!.Grid.Bits);
        if (to == "gguf") Assert.Equal(bits == 8 ? "Q8_0" : "Q4_0", stored.BlockTypeOf("model.embed_tokens.weight"));
    }

    [Theory]
    [InlineData("compressed-tensors")]
    [InlineData("mlx")]
    [InlineData("gguf")]
    public async Task TwoMatricesKeepTheirCodes(string to)
    {
        string run = _folder.File("run"), output = _folder.File(to == "gguf" ? "out.gguf" : "out");
        await VocabularyLab.Round(VocabularyLab.Untied(_folder), run, [.. Symmetric, "--embedding", "8", "--head", "4"]);
        await Export(run, to, output);
        using ICheckpoint stored = CheckpointOpener.Open(output);
        Assert.Equal((8, 4), (stored.ReadQuantized("model.embed_tokens.weight")!.Grid.Bits, stored.ReadQuantized("lm_head.weight")!.Grid.Bits));
        if (to != "compressed-tensors") return;
        // A class of its own: the head is a linear, the embedding is not, and both are named.
        string[] targets = [.. JsonNode.Parse(File.ReadAllText(Path.Combine(output, "config.json")))!["quantization_config"]!["config_groups"]!.AsObject()
            .SelectMany(group => group.Value!["targets"]!.AsArray()).Select(target => target!.GetValue<string>())];
        Assert.Contains("model.embed_tokens", targets);
        Assert.Contains("lm_head", targets);
    }

    [Fact]
    public async Task InspectNamesTheirGrids()
    {
        string run = _folder.File("run");
        await VocabularyLab.Round(VocabularyLab.Untied(_folder), run, [.. Symmetric, "--head", "4"]);
        string[] lines = (await Lrq.Run("inspect", run)).Out.Split('\n');
        Assert.Single(lines, line => line.StartsWith("lm_head", StringComparison.Ordinal) && line.Contains("w4 symmetric g32, Float16 scales, 4.50 bits per weight", StringComparison.Ordinal));
        Assert.DoesNotContain(lines, line => line.StartsWith("model.embed_tokens", StringComparison.Ordinal));
        JsonNode facts = JsonNode.Parse((await Lrq.Run("inspect", run, "--json")).Out)!;
        Assert.Equal(4.5 * 2048 * 256, (double)facts["vocabulary"]!["lm_head"]!["storedBits"]!);
        Assert.Null(facts["vocabulary"]!["model.embed_tokens"]!["storedBits"]);
    }

    [Fact]
    public async Task OneSchemeForAllNamesTheEmbeddingBesideTheLinears()
    {
        string run = _folder.File("run");
        await VocabularyLab.Round(TestData.Demo, run, "--embedding", "4");
        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(run, "config.json")))!["quantization_config"]!;
        Assert.Equal("[\"Linear\",\"model.embed_tokens\"]", config["config_groups"]!["group_0"]!["targets"]!.ToJsonString());
        Assert.Equal("[\"lm_head\"]", config["ignore"]!.ToJsonString());
    }

    [Fact]
    public async Task GptqHoldsAHeadOnTheGridOfTheLinears()
    {
        string run = _folder.File("run"), output = _folder.File("out");
        await VocabularyLab.Round(VocabularyLab.Untied(_folder), run, [.. Symmetric, "--head", "4"]);
        await Export(run, "gptq", output);
        Assert.True(JsonNode.Parse(File.ReadAllText(Path.Combine(output, "quantize_config.json")))!["lm_head"]!.GetValue<bool>());
        using ICheckpoint stored = CheckpointOpener.Open(output);
        Assert.Equal(4, stored.ReadQuantized("lm_head.weight")!.Grid.Bits);
        Assert.Null(stored.ReadQuantized("model.embed_tokens.weight"));
    }

    [Fact]
    public async Task ContainersWithoutAPlaceForThemRefuse()
    {
        string tied = _folder.File("tied"), apart = _folder.File("apart");
        await VocabularyLab.Round(TestData.Demo, tied, [.. Symmetric, "--head", "4"]);
        await VocabularyLab.Round(VocabularyLab.Untied(_folder), apart, [.. Symmetric, "--head", "4"]);
        await Refused(tied, "gptq", "model.embed_tokens: the embedding is quantized, and is the output head too, and GPTQ loaders look it up as floats");
        await Refused(tied, "awq", "AWQ loaders look it up as floats");
        await Refused(apart, "awq", "lm_head: it is quantized, and AWQ loaders keep it dense");
    }

    [Fact]
    public async Task TwoLevelGridsGoIntoTheirBlocks()
    {
        string run = _folder.File("run"), output = _folder.File("out.gguf");
        await VocabularyLab.Quantize(VocabularyLab.Untied(_folder), run, "--method", "rtn", "--grid", "q3_k", "--embedding", "4", "--head", "8");
        using (ICheckpoint folder = CheckpointOpener.Open(run))
            Assert.Equal(("Q4_K", "w8 symmetric g32"), ($"{(folder.ReadQuantized("model.embed_tokens.weight")!.Grid as Numerics.Quantized.TwoLevelGrid)?.Name}", $"{folder.ReadQuantized("lm_head.weight")!.Grid}"));
        await Export(run, "gguf", output);
        using GgufFile file = GgufFile.Open(output);
        Assert.Equal((GgmlType.Q4_K, GgmlType.Q8_0), (file.Tensors["token_embd.weight"].Type, file.Tensors["output.weight"].Type));
        await Refused(run, "compressed-tensors", "its grid has two levels of scales");
    }

    [Theory]
    [InlineData(true, "8", null)]
    [InlineData(true, "4", null)]
    [InlineData(false, "8", "4")]
    public async Task LlamaCppComputesOurLogits(bool tied, string embedding, string? head)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string run = _folder.File("run"), output = _folder.File("out.gguf");
        string[] behind = head is null ? [] : ["--head", head];
        await VocabularyLab.Round(tied ? TestData.Demo : VocabularyLab.Untied(_folder), run, [.. Symmetric, "--embedding", embedding, .. behind]);
        await Export(run, "gguf", output);
        using var device = new CpuDevice();
        using var own = new CausalModel(CheckpointOpener.Open(run), device);
        int[] ids = [.. Enumerable.Range(0, 48).Select(i => (i * 37) % 2048)];
        using LlamaModel model = engine.Open(output);
        using LlamaContext context = model.CreateContext(exact: true);
        // The engine rounds the inputs of quantized products to 8 bits, those of the head too.
        double error = ForwardTrace.RelativeError(ForwardTrace.Of(own, ids).Logits, context.Logits(ids));
        TestContext.Current.TestOutputHelper?.WriteLine($"{error:g3}");
        Assert.InRange(error, 0, 0.02);
    }

    private static async Task<string> Export(string run, string to, string output)
    {
        CliResult exported = await Lrq.Run("export", run, "--to", to, "--out", output);
        Assert.True(exported.Code == 0, exported.Error);
        CliResult verified = await Lrq.Run("verify", output, "--against", run);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        Assert.Contains("No difference.", verified.Out, StringComparison.Ordinal);
        return verified.Out;
    }

    private async Task Refused(string run, string to, string why)
    {
        string output = _folder.File("refused");
        CliResult refused = await Lrq.Run("export", run, "--to", to, "--out", output);
        Assert.NotEqual(0, refused.Code);
        Assert.Contains(why, refused.Error, StringComparison.Ordinal);
        Assert.False(Path.Exists(output));
    }
}
