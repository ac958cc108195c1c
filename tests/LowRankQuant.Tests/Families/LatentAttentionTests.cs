using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Families;

/// <summary>Latent attention: gradients by differences, what is cached, the names and keys of its families.</summary>
public sealed class LatentAttentionTests : IDisposable
{
    private const int Length = 10, Windows = 2;
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    [Theory]
    [InlineData("deepseek_v3")]
    [InlineData("deepseek_v3_noq")]
    [InlineData("mistral4")]
    public void EveryLinearOfTheAttentionHasItsGradient(string name)
    {
        using CausalModel model = Open(name);
        string[] names = [.. model.LinearsOf(0).Select(linear => linear.Name).Where(linear => linear.StartsWith("self_attn.", StringComparison.Ordinal))];
        Assert.Equal(name == "deepseek_v3_noq" ? 4 : 5, names.Length);
        BlockGradients.Check(model, 0, names, Windows, Length);
    }

    /// <summary>Keys in front of the rotation are those that are rotated: the last of their elements are the same in all heads, and turning changes nothing but these.</summary>
    [Fact]
    public void KeysAreSeenInFrontOfAndBehindTheRotation()
    {
        using CausalModel model = Open("deepseek_v3");
        const int plain = 16, rotated = 8, size = plain + rotated, values = 20, heads = 4;
        float[] before = Seen(true, out float[] one), after = Seen(false, out float[] two);
        Assert.Equal(one.Length, two.Length);
        Assert.True(ForwardTrace.RelativeError(one, two) < 1e-6);
        int different = 0;
        for (int row = 0; row < Windows * Length; row++)
        {
            for (int head = 0; head < heads; head++)
            {
                int at = ((row * heads) + head) * size;
                Assert.Equal(before.AsSpan(at, plain), after.AsSpan(at, plain));
                Assert.Equal(before.AsSpan((row * heads * size) + plain, rotated), before.AsSpan(at + plain, rotated));
                if (!before.AsSpan(at + plain, rotated).SequenceEqual(after.AsSpan(at + plain, rotated))) different++;
                // What turns keeps its length; the temperature of this case is one.
                Assert.Equal(Norm(before.AsSpan(at + plain, rotated)), Norm(after.AsSpan(at + plain, rotated)), 1e-5);
            }
        }
        Assert.Equal(heads * Windows * (Length - 1), different);

        float[] Seen(bool beforeRotation, out float[] output)
        {
            using IDecoderBlock block = model.LoadBlock(0);
            Assert.Equal([(CacheKind.Keys, heads, size), (CacheKind.Values, heads, values)], block.Caches.Select(site => (site.Kind, site.Heads, site.HeadSize)));
            float[] keys = [];
            block.Caches[0].BeforeRotation = beforeRotation;
            block.Caches[0].Observer = x => keys = x.ToArray();
            using var tape = new Tape(_device, recording: false);
            float[] x = BlockGradients.Gaussian(SeededRandom.Derive(4), Windows * Length * model.Config.HiddenSize, 1);
            output = block.Forward(tape, new Variable(_device.From(x, Windows * Length, model.Config.HiddenSize)), new SequenceShape(Windows, Length)).Value.ToArray();
            return keys;
        }
    }

    /// <summary>With rows of queries and the shared key in the other order, pairs of halves give the same.</summary>
    [Fact]
    public void PairsAreNeighboursUnlessTheConfigurationSaysOtherwise()
    {
        const int plain = 16, rotated = 8;
        using CausalModel model = Open("deepseek_v3");
        using var folder = new TemporaryFolder();
        JsonObject config = ConfigOf("deepseek_v3");
        config["rope_interleave"] = false;
        Rewrite("deepseek_v3", folder.Path, config, name => name, (name, shape, stored) =>
        {
            bool query = name.EndsWith("q_b_proj.weight", StringComparison.Ordinal);
            if (!query && !name.EndsWith("kv_a_proj_with_mqa.weight", StringComparison.Ordinal)) return stored;
            int rows = (int)shape[0], columns = (int)shape[1];
            var moved = (float[])stored.Clone();
            for (int start = query ? plain : rows - rotated; start < rows; start += plain + rotated)
            {
                // Row 2 j goes to j, row 2 j + 1 to j + r / 2.
                for (int j = 0; j < rotated; j++) stored.AsSpan((start + j) * columns, columns).CopyTo(moved.AsSpan((start + (j / 2) + (j % 2 * rotated / 2)) * columns, columns));
            }
            return moved;
        });
        using var halves = new CausalModel(HuggingFaceCheckpoint.Open(folder.Path), _device);
        int[] ids = [.. Enumerable.Range(0, 40).Select(i => (i * 37) % 150)];
        Assert.True(ForwardTrace.RelativeError(ForwardTrace.Of(model, ids).Logits, ForwardTrace.Of(halves, ids).Logits) < 2e-6);
    }

    [Theory]
    [InlineData("kimi_k2", "kimi_k25")]
    [InlineData("mistral4", "mistral3")]
    public async Task TheTextModelOfAMultimodalOneIsTheSame(string name, string outer)
    {
        using var folder = new TemporaryFolder();
        string nested = folder.File("nested"), rounded = folder.File("rounded");
        var config = new JsonObject { ["model_type"] = outer, ["tie_word_embeddings"] = false, ["text_config"] = ConfigOf(name), ["vision_config"] = new JsonObject { ["hidden_size"] = 8 } };
        Rewrite(name, nested, config, tensor => $"language_model.{tensor}", null, PendingTensor.FromSingles("vision_tower.patch_embed.proj.weight", SafetensorsType.F32, [2, 2], [1, 2, 3, 4]));
        int[] ids = [.. Enumerable.Range(0, 40).Select(i => (i * 37) % 150)];
        using (CausalModel flat = Open(name))
        using (var whole = new CausalModel(HuggingFaceCheckpoint.Open(nested), _device))
            Assert.Equal(ForwardTrace.Of(flat, ids).Logits, ForwardTrace.Of(whole, ids).Logits);
        CliResult run = await Lrq.Run("quantize", nested, "--method", "rtn", "--bits", "8", "--group-size", "4", "--threads", "1", "--out", rounded);
        Assert.True(run.Code == 0, run.Error);
        using SafetensorsFolder written = SafetensorsFolder.Open(rounded);
        Assert.True(written.Contains("vision_tower.patch_embed.proj.weight"));
        Assert.Contains(written.Names, tensor => tensor.StartsWith("language_model.model.layers.0.self_attn.kv_a_proj_with_mqa.weight", StringComparison.Ordinal));
    }

    [Fact]
    public async Task BlocksThatPredictFurtherTokensAreCarriedOver()
    {
        string source = TestData.Path("golden", "hybrids", "deepseek_v3");
        using var folder = new TemporaryFolder();
        CliResult run = await Lrq.Run("quantize", source, "--method", "rtn", "--bits", "4", "--group-size", "8", "--threads", "1", "--out", folder.File("out"));
        Assert.True(run.Code == 0, run.Error);
        using SafetensorsFolder before = SafetensorsFolder.Open(source), after = SafetensorsFolder.Open(folder.File("out"));
        foreach (string name in before.Names.Where(name => name.StartsWith("model.layers.3.", StringComparison.Ordinal)).Some()) Assert.Equal(Singles(before, name), Singles(after, name));
        Assert.Contains(after.Names, name => name.StartsWith("model.layers.2.self_attn.q_a_proj.weight", StringComparison.Ordinal) && name != "model.layers.2.self_attn.q_a_proj.weight");
    }

    [Theory]
    [InlineData("deepseek_v3", """{"scoring_func": "softmax"}""", "scoring_func softmax is not supported for deepseek_v3")]
    [InlineData("deepseek_v3", """{"topk_method": "greedy"}""", "topk_method greedy is not supported")]
    [InlineData("deepseek_v3", """{"moe_layer_freq": 2}""", "moe_layer_freq 2 is not supported")]
    [InlineData("deepseek_v3", """{"n_group": 3}""", "3 of 8 experts in 2 of 3 groups")]
    [InlineData("deepseek_v3", """{"hidden_act": "tanh"}""", "hidden_act 'tanh' is not supported")]
    [InlineData("deepseek_v3", """{"qk_rope_head_dim": 7}""", "rotated elements")]
    [InlineData("deepseek_v2", """{"scoring_func": "sigmoid"}""", "scoring_func sigmoid is not supported")]
    [InlineData("deepseek_v2", """{"topk_method": "noaux_tc"}""", "topk_method noaux_tc is not supported")]
    [InlineData("deepseek_v2", """{"norm_topk_prob": true}""", "norm_topk_prob true is not supported")]
    [InlineData("deepseek_v2", """{"mlp_bias": true}""", "mlp_bias true is not supported")]
    [InlineData("glm4_moe_lite", """{"mlp_layer_types": ["dense", "other"]}""", "mlp_layer_types other is not supported")]
    [InlineData("mistral4", """{"scoring_func": "sigmoid"}""", "scoring_func sigmoid is not supported")]
    public void WhatIsNotComputedIsRefusedByName(string name, string changes, string message)
    {
        JsonObject config = Changed(ConfigOf(name), changes);
        Exception failure = Assert.ThrowsAny<Exception>(() => ModelFamilies.Read(config, "config.json"));
        Assert.True(failure is UnsupportedModelException or CheckpointException, failure.GetType().Name);
        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AbsentKeysMeanWhatThePublishedOnesDo()
    {
        static ModelLayout Layout(string json) => ModelFamilies.Read((JsonObject)JsonNode.Parse(json)!, "config.json").Layout(_ => false);

        const string sizes = "\"hidden_size\": 64, \"num_attention_heads\": 2, \"vocab_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 4";
        ModelLayout third = Layout($$"""{"model_type": "deepseek_v3", {{sizes}}}""");
        Assert.Equal([1536, 64], third.Find("model.layers.0.self_attn.q_a_proj.weight")!.Shape);
        Assert.Equal([2 * 192, 1536], third.Find("model.layers.0.self_attn.q_b_proj.weight")!.Shape);
        Assert.Equal([576, 64], third.Find("model.layers.0.self_attn.kv_a_proj_with_mqa.weight")!.Shape);
        Assert.Equal([2 * 256, 512], third.Find("model.layers.0.self_attn.kv_b_proj.weight")!.Shape);
        Assert.NotNull(third.Find("model.layers.2.mlp.gate_proj.weight"));
        Assert.Equal([256], third.Find("model.layers.3.mlp.gate.e_score_correction_bias")!.Shape);
        Assert.Equal(8, third.ExpertsPerToken);
        // Null is not absent: no latent of the queries.
        ModelLayout plain = Layout($$"""{"model_type": "deepseek_v3", "q_lora_rank": null, {{sizes}}}""");
        Assert.Equal([2 * 192, 64], plain.Find("model.layers.0.self_attn.q_proj.weight")!.Shape);
        ModelLayout glm = Layout($$"""{"model_type": "glm4_moe_lite", {{sizes}}}""");
        Assert.Equal([2 * 448, 512], glm.Find("model.layers.0.self_attn.kv_b_proj.weight")!.Shape);
        Assert.NotNull(glm.Find("model.layers.1.mlp.experts.63.down_proj.weight"));
        ModelLayout fourth = Layout($$"""{"model_type": "mistral4", {{sizes}}}""");
        Assert.Equal("model.layers.0.mlp.experts.gate_up_proj", fourth.Find("model.layers.0.mlp.experts.127.up_proj.weight")!.View!.Stored);
        RopeConfig rope = ModelFamilies.Read((JsonObject)JsonNode.Parse($$"""{"model_type": "mistral4", {{sizes}}}""")!, "config.json").Config.Rope;
        Assert.Equal((RopeScaling.Yarn, 128, 8192, 64), (rope.Scaling, rope.Factor, rope.OriginalMaxPositions, rope.RotatedSize));
        // Biases are on the projections of x and on the output, and on no other.
        ModelLayout biased = Layout($$"""{"model_type": "deepseek_v3", "attention_bias": true, {{sizes}}}""");
        Assert.Equal(["kv_a_proj_with_mqa", "o_proj", "q_a_proj"], biased.Tensors.Select(tensor => tensor.Name).Where(name => name.StartsWith("model.layers.0.", StringComparison.Ordinal) && name.EndsWith(".bias", StringComparison.Ordinal))
            .Select(name => name.Split('.')[^2]).Order(StringComparer.Ordinal));
    }

    /// <summary>Static steps of a cache are for engines, and these keep the latent; steps per token live in the recipe alone.</summary>
    [Fact]
    public async Task AStaticCacheIsRefusedWhereItIsStoredAndWhereItIsRead()
    {
        string source = TestData.Path("golden", "hybrids", "deepseek_v3");
        using var folder = new TemporaryFolder();
        string ids = folder.File("ids.jsonl");
        File.WriteAllLines(ids, Enumerable.Range(0, 6).Select(row => $"[{string.Join(", ", Enumerable.Range(0, 24).Select(i => ((row * 31) + (i * 7)) % 150))}]"));
        string[] asked =
        [
            "quantize", source, "--method", "rtn", "--scheme", "w8a8-dynamic", "--calibration", ids, "--calibration-format", "ids", "--samples", "4", "--held-out", "2",
            "--sequence-length", "24", "--threads", "1", "--out", folder.File("out"), "--cache",
        ];
        CliResult refused = await Lrq.Run([.. asked, "8:tensor"]);
        Assert.Equal(1, refused.Code);
        Assert.Contains("deepseek_v3: a static cache (8-bit keys and values", refused.Error, StringComparison.Ordinal);
        Assert.Contains("engines keep the latent of a latent attention (MLA)", refused.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("out")));
        CliResult token = await Lrq.Run([.. asked, "8:token"]);
        Assert.True(token.Code == 0, token.Error);
        string written = Path.Combine(folder.File("out"), "config.json");
        var config = (JsonObject)JsonNode.Parse(File.ReadAllText(written))!;
        config["quantization_config"]!["kv_cache_scheme"] = JsonNode.Parse("""{"num_bits": 8, "type": "int", "symmetric": true, "strategy": "tensor", "dynamic": false}""");
        File.WriteAllText(written, config.ToJsonString());
        CliResult read = await Lrq.Run("eval", folder.File("out"), "--ids", ids, "--threads", "1");
        Assert.Equal(1, read.Code);
        Assert.Contains("a quantized key-value cache cannot be executed: block 0: engines keep the latent", read.Error, StringComparison.Ordinal);
    }

    public void Dispose() => _device.Dispose();

    private static double Norm(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float value in values) sum += (double)value * value;
        return Math.Sqrt(sum);
    }

    private CausalModel Open(string name) => new(HuggingFaceCheckpoint.Open(TestData.Path("golden", "hybrids", name)), _device);

    private static JsonObject ConfigOf(string name) => (JsonObject)JsonNode.Parse(File.ReadAllText(Path.Combine(TestData.Path("golden", "hybrids", name), "config.json")))!;

    private static JsonObject Changed(JsonObject config, string changes)
    {
        foreach ((string key, JsonNode? value) in (JsonObject)JsonNode.Parse(changes)!) config[key] = value?.DeepClone();
        return config;
    }

    private static float[] Singles(SafetensorsFolder folder, string name)
    {
        var values = new float[folder.Tensors[name].ElementCount];
        folder.ReadSingles(name, values);
        return values;
    }

    // Writes a case under other names, and with other values where asked for.
    private static void Rewrite(string name, string folder, JsonObject config, Func<string, string> rename, Func<string, long[], float[], float[]>? change, params PendingTensor[] more)
    {
        Directory.CreateDirectory(folder);
        using SafetensorsFolder source = SafetensorsFolder.Open(TestData.Path("golden", "hybrids", name));
        List<PendingTensor> tensors = [.. source.Names.Select(tensor => change is null || source.Tensors[tensor].Type != SafetensorsType.BF16
            ? PendingTensor.Copy(source, tensor, rename(tensor))
            : PendingTensor.FromSingles(rename(tensor), SafetensorsType.BF16, source.Tensors[tensor].Shape, change(tensor, source.Tensors[tensor].Shape, Singles(source, tensor)))), .. more];
        SafetensorsFolderWriter.Write(folder, tensors, 1 << 30, cancellationToken: TestContext.Current.CancellationToken);
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString());
    }
}
