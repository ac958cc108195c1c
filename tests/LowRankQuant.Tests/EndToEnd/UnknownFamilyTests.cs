using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Models whose model_type no family knows: rounded by the names of their tensors, looked at, and refused where they would be run.</summary>
public sealed class UnknownFamilyTests
{
    private static readonly string[] Rtn = ["--method", "rtn", "--bits", "4", "--group-size", "8", "--threads", "1"];

    [Fact]
    public async Task LinearsAreRoundedAsTheirFamilyWouldRoundThem()
    {
        string known = TestData.Path("golden", "models", "qwen3");
        using var folder = new TemporaryFolder();
        string unknown = Renamed(known, folder, "qwen9"), output = folder.File("out"), expected = folder.File("expected");
        CliResult done = await Lrq.Run(["quantize", unknown, .. Rtn, "--out", output]);
        Assert.True(done.Code == 0, done.Error);
        Assert.Contains("warning: not evaluated: no family knows model_type 'qwen9'.", done.Out, StringComparison.Ordinal);
        Assert.Equal(0, (await Lrq.Run(["quantize", known, .. Rtn, "--out", expected])).Code);
        AssertSameTensors(expected, output);
        JsonObject config = Json(output, "config.json"), source = Json(unknown, "config.json"), report = Json(output, "report.json");
        Assert.Equal("compressed-tensors", (string?)config["quantization_config"]!["quant_method"]);
        Assert.Contains("lm_head", config["quantization_config"]!["ignore"]!.AsArray().Select(module => (string?)module));
        config.Remove("quantization_config");
        Assert.True(JsonNode.DeepEquals(source, config));
        Assert.Contains(report["warnings"]!.AsArray(), warning => ((string)warning!).StartsWith("not evaluated: no family knows model_type 'qwen9'", StringComparison.Ordinal));
        Assert.Null(report["sample"]);
    }

    [Theory]
    [InlineData("--start", "search", "--bits", "3", "--group-size", "16")]
    [InlineData("--group-size", "tensor", "--bits", "8", "--symmetric")]
    [InlineData("--layers", "v_proj=keep,layers.1.*=keep,layers.0.mlp.up_proj=8", "--group-size", "16")]
    public async Task EveryGridOfRoundingGoesWithoutAFamily(params string[] options)
    {
        string known = TestData.Path("golden", "models", "qwen3");
        using var folder = new TemporaryFolder();
        string output = folder.File("out"), expected = folder.File("expected");
        CliResult done = await Lrq.Run(["quantize", Renamed(known, folder, "qwen9"), "--method", "rtn", "--threads", "1", "--out", output, .. options]);
        Assert.True(done.Code == 0, done.Error);
        Assert.Equal(0, (await Lrq.Run(["quantize", known, "--method", "rtn", "--threads", "1", "--out", expected, .. options])).Code);
        AssertSameTensors(expected, output);
    }

    [Fact]
    public async Task ATwoLevelGridGoesWithoutAFamily()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult done = await Lrq.Run("quantize", Renamed(TestData.Demo, folder, "lama"), "--method", "rtn", "--grid", "q4_k", "--threads", "1", "--out", output);
        Assert.True(done.Code == 0, done.Error);
        CliResult seen = await Lrq.Run("inspect", output, "--json");
        Assert.Contains("Q4_K", (string)JsonNode.Parse(seen.Out)!["scheme"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARoundedFolderIsLookedAtAndNotRoundedAgain()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out"), again = folder.File("again");
        Assert.Equal(0, (await Lrq.Run(["quantize", Renamed(TestData.Path("golden", "models", "qwen3_moe"), folder, "qwen9_moe"), .. Rtn, "--out", output])).Code);
        CliResult seen = await Lrq.Run("inspect", output, "--json");
        JsonNode facts = JsonNode.Parse(seen.Out)!;
        Assert.Equal(("qwen9_moe", false, 2), ((string?)facts["modelType"], (bool)facts["familyKnown"]!, (int)facts["layers"]!));
        Assert.Equal(6.5, (double)facts["bitsPerWeight"]!, 3);
        Assert.Equal(92160, (int)facts["linearWeights"]!);
        Assert.Contains("qwen9_moe (no family knows it)", (await Lrq.Run("inspect", output)).Out, StringComparison.Ordinal);
        CliResult refused = await Lrq.Run(["quantize", output, .. Rtn, "--out", again]);
        Assert.Equal(2, refused.Code);
        Assert.Contains("quantized already", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatRunsTheModelIsRefusedWithWhatIsNear()
    {
        using var folder = new TemporaryFolder();
        string model = Renamed(TestData.Path("golden", "models", "qwen3"), folder, "qwen9", ("linear_attention_kind", "gated"), ("attention_dropout", 0.0));
        string[][] commands =
        [
            ["quantize", model, "--method", "lrq", "--calibration", "self", "--out", folder.File("out")], ["eval", model, "--text", folder.File("config.json")],
            ["convert", model, "--out", folder.File("out")],
        ];
        foreach (string[] command in commands)
        {
            CliResult refused = await Lrq.Run(command);
            Assert.Equal(1, refused.Code);
            Assert.Contains("no family knows model_type 'qwen9'; nearest by name: qwen2, qwen3; by the keys of its configuration: qwen2", refused.Error, StringComparison.Ordinal);
            Assert.Contains("keys of its configuration that no family reads: linear_attention_kind (\"gated\").", refused.Error, StringComparison.Ordinal);
        }
        CliResult measured = await Lrq.Run(["quantize", model, .. Rtn, "--out", folder.File("out"), "--eval-text", folder.File("x.txt"), "--tune-steps", "2", "--format", "dense"]);
        Assert.Equal(2, measured.Code);
        Assert.All(["--eval-text", "--tune-steps", "--format dense"], option => Assert.Contains($"{option} ", measured.Error, StringComparison.Ordinal));
        Assert.False(Directory.Exists(folder.File("out")));
    }

    [Fact]
    public async Task UnusualTensorsAreCarriedOverWithTheirTypesAndNames()
    {
        using var folder = new TemporaryFolder();
        string model = folder.File("odd"), output = folder.File("out");
        Directory.CreateDirectory(model);
        float[] Values(int count) => [.. Enumerable.Range(0, count).Select(i => MathF.Sin(i))];
        PendingTensor Floats(string name, SafetensorsType type, params long[] shape) => PendingTensor.FromSingles(name, type, shape, Values((int)shape.Aggregate(1L, (product, size) => product * size)));
        string[] linears = ["backbone.blocks.0.mix.in_proj", "backbone.blocks.0.ffn.gate", "backbone.blocks.1.experts.0.w1", "backbone.blocks.1.experts.1.w1", "backbone.blocks.1.experts.2.w1", "backbone.blocks.10.mix.in_proj"];
        List<PendingTensor> tensors =
        [
            .. linears.Select(linear => Floats($"{linear}.weight", SafetensorsType.BF16, 32, 48)),
            Floats("backbone.embeddings.weight", SafetensorsType.BF16, 64, 48),
            Floats("backbone.blocks.0.norm.weight", SafetensorsType.F32, 48),
            Floats("backbone.blocks.0.token_norm.weight", SafetensorsType.F32, 32, 32),
            Floats("backbone.blocks.0.conv1d.weight", SafetensorsType.BF16, 48, 1, 4),
            Floats("backbone.blocks.0.mix.A_log", SafetensorsType.F32, 32, 48),
            Floats("backbone.blocks.0.mlp.gate.weight", SafetensorsType.F32, 16, 48),
            Floats("backbone.blocks.1.chooser.weight", SafetensorsType.F16, 3, 48),
            Floats("backbone.blocks.1.selector.weight", SafetensorsType.F16, 3, 48),
            Floats("backbone.blocks.1.stack.weight", SafetensorsType.BF16, 3, 32, 48),
            Floats("vision_tower.blocks.0.mix.in_proj.weight", SafetensorsType.BF16, 32, 48),
            new("backbone.blocks.0.steps", SafetensorsType.I64, [], sink => sink.Write<long>([7])),
            PendingTensor.FromSingles("backbone.blocks.0.limit", SafetensorsType.BF16, [], [float.PositiveInfinity]),
            Floats("lm_head.weight", SafetensorsType.BF16, 64, 48),
        ];
        SafetensorsFolderWriter.Write(model, tensors, 1 << 30, cancellationToken: TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(Path.Combine(model, "config.json"), """{"model_type":"odd","auto_map":{"AutoModel":"modeling_odd.Odd"},"mixer":"delta"}""", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(Path.Combine(model, "modeling_odd.py"), "# code\n", TestContext.Current.CancellationToken);
        CliResult done = await Lrq.Run(["quantize", model, .. Rtn, "--out", output]);
        Assert.True(done.Code == 0, done.Error);
        Assert.Contains("6 linears of 3 layers", done.Out, StringComparison.Ordinal);
        Assert.Contains("mixer (\"delta\")", done.Out, StringComparison.Ordinal);
        using SafetensorsFolder before = SafetensorsFolder.Open(model), after = SafetensorsFolder.Open(output);
        string[] packed = [.. after.Names.Where(name => name.EndsWith(".weight_packed", StringComparison.Ordinal)).Select(name => name[..^".weight_packed".Length]).Order(StringComparer.Ordinal)];
        Assert.Equal(linears.Order(StringComparer.Ordinal), packed);
        foreach (string name in before.Names.Where(name => !linears.Contains(name.Replace(".weight", "", StringComparison.Ordinal))).Some())
        {
            Assert.Equal(before.Tensors[name].Type, after.Tensors[name].Type);
            Assert.Equal(before.ShapeOf(name), after.ShapeOf(name));
            int length = (int)before.Tensors[name].ByteLength;
            Assert.True(before.GetBytes(name, 0, length).SequenceEqual(after.GetBytes(name, 0, length)), name);
        }
        Assert.True(File.Exists(Path.Combine(output, "modeling_odd.py")));
        using ICheckpoint read = CheckpointOpener.Open(output, use: ModelUse.Weights);
        Assert.Equal(["backbone.blocks.0", "backbone.blocks.1", "backbone.blocks.10"], read.Layout.Blocks);
        Assert.Throws<UnsupportedModelException>(() => CheckpointOpener.Open(output));
        Assert.Contains("not said", (await Lrq.Run("inspect", output)).Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.layers.3.mlp.up_proj.weight", true)]
    [InlineData("transformer.h.0.attn.c_attn.weight", true)]
    [InlineData("layers.0.feed_forward.w2.weight", true)]
    [InlineData("encoder.block.1.layer.0.q.weight", true)]
    [InlineData("transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight", true)]
    [InlineData("model.layers.3.mlp.up_proj.bias", false)]
    [InlineData("model.layers.3.weight", false)]
    [InlineData("model.stages.3.mlp.up_proj.weight", false)]
    [InlineData("model.layers.3.ln_1.weight", false)]
    [InlineData("model.layers.3.mlp.router.layer.weight", false)]
    [InlineData("model.layers.3.embed_positions.weight", false)]
    [InlineData("model.visual.blocks.3.mlp.fc1.weight", false)]
    [InlineData("embed_tokens.weight", false)]
    public void LinearsAreKnownByTheirNames(string name, bool expected) => Assert.Equal(expected ? 1 : 0, NumberedLinears.Find([(name, 64, 64)]).Count);

    [Fact]
    public void ALargeLayerIsSeveralBlocks()
    {
        NumberedLinear[] linears = [.. Enumerable.Range(0, 5).Select(i => new NumberedLinear("model.layers.0", $"mlp.experts.{i}.up", 1 << 12, 1 << 13)), new NumberedLinear("model.layers.1", "mlp.up", 64, 64)];
        ModelFamiliesAgree(UnknownFamily.Read(new JsonObject { ["model_type"] = "odd" }, linears, _ => false));

        static void ModelFamiliesAgree(Architecture architecture)
        {
            Assert.Equal(4, architecture.Config.Layers);
            var layout = architecture.Layout(_ => true);
            Assert.Equal(["model.layers.0", "model.layers.0", "model.layers.0", "model.layers.1"], layout.Blocks);
            Assert.Equal([2, 2, 1, 1], layout.Linears.Select(block => block.Count));
        }
    }

    private static void AssertSameTensors(string expected, string actual)
    {
        using SafetensorsFolder one = SafetensorsFolder.Open(expected), other = SafetensorsFolder.Open(actual);
        Assert.Equal(one.Names.Order(StringComparer.Ordinal), other.Names.Order(StringComparer.Ordinal));
        foreach (string name in one.Names.Some())
        {
            int length = (int)one.Tensors[name].ByteLength;
            Assert.Equal(one.Tensors[name].Type, other.Tensors[name].Type);
            Assert.True(one.GetBytes(name, 0, length).SequenceEqual(other.GetBytes(name, 0, length)), name);
        }
    }

    private static string Renamed(string source, TemporaryFolder folder, string modelType, params (string Key, object Value)[] more)
    {
        string copy = Directory.CreateDirectory(folder.File(modelType)).FullName;
        foreach (string file in Directory.GetFiles(source).Where(file => !file.EndsWith("config.json", StringComparison.Ordinal))) File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        JsonObject config = Json(source, "config.json");
        config["model_type"] = modelType;
        foreach ((string key, object value) in more) config[key] = JsonSerializer.SerializeToNode(value);
        File.WriteAllText(Path.Combine(copy, "config.json"), config.ToJsonString());
        return copy;
    }

    private static JsonObject Json(string folder, string name) => (JsonObject)JsonNode.Parse(File.ReadAllText(Path.Combine(folder, name)))!;
}
