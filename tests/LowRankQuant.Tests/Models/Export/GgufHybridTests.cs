using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Export;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>
/// What recurrent mixers and latent attention need of a GGUF file beyond other families: tensors that lie in parts, rows and columns in other orders, matrices turned, rates of decay,
/// multipliers in the weights.
/// </summary>
[Collection(LlamaCppFixture.Collection)]
public sealed class GgufHybridTests : IDisposable
{
    private const double FloatTolerance = 1e-5;

    // The engine needs layers of both kinds, and two are all there are.
    private const string BothKinds = """{"layer_types": ["linear_attention", "full_attention"]}""";

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 2 });

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    // Values that llama.cpp has, where the reference configurations have others; of Falcon-H1 the reference's own.
    [Theory]
    [InlineData("hybrids/mamba2", """{"time_step_limit": null}""")]
    [InlineData("hybrids/deepseek_v2", """{"q_lora_rank": 256}""")]
    [InlineData("hybrids/deepseek_v3", """{"rms_norm_eps": 1e-6}""")]
    [InlineData("hybrids/falcon_h1", "{}")]
    [InlineData("hybrids/falcon_h1_norm", """{"mamba_norm_before_gate": false}""")]
    [InlineData("hybrids/qwen3_5_text", """{"rms_norm_eps": 1e-6, "layer_types": ["linear_attention", "full_attention"]}""")]
    [InlineData("hybrids/granitemoehybrid_dense", """{"position_embedding_type": "rope"}""")]
    [InlineData("hybrids/granitemoehybrid_rope", "{}")]
    [InlineData("hybrids/jamba", """{"num_experts": 1}""")]
    public void TheEngineAndOurReaderComputeTheLogitsOfTheSource(string name, string changes)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string folder = Model(name, changes), path = _folder.File("model.gguf");
        float[] expected;
        using (var source = new CausalModel(CheckpointOpener.Open(folder), _device))
        {
            expected = ForwardTrace.Of(source, Ids).Logits;
            Export(source.Checkpoint, path, Floats);
        }
        using (var back = new CausalModel(CheckpointOpener.Open(path), _device)) Assert.InRange(ForwardTrace.RelativeError(expected, ForwardTrace.Of(back, Ids).Logits), 0, FloatTolerance);
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        double error = ForwardTrace.RelativeError(expected, context.Logits(Ids));
        Assert.True(error < FloatTolerance, $"{name}: relative difference {error}");
    }

    [Theory]
    [InlineData("hybrids/qwen3_next", "w4 sym g32", GgmlType.Q4_0)]
    [InlineData("hybrids/qwen3_5", "w4 sym g32", GgmlType.Q4_0)]
    [InlineData("hybrids/qwen3_5", "w8 sym", GgmlType.Q8_0)]
    [InlineData("hybrids/qwen3_5", "Q4_K", GgmlType.Q4_K)]
    [InlineData("hybrids/bamba", "w4 sym g32", GgmlType.Q4_0)]
    [InlineData("hybrids/granitemoehybrid", "Q4_K", GgmlType.Q4_K)]
    [InlineData("hybrids/kimi_linear", "w4 sym g32", GgmlType.Q4_0)]
    [InlineData("hybrids/mistral4", "w4 sym g32", GgmlType.Q4_0)]
    public void CodesAndValuesComeBackOutOfPartsAndOtherOrders(string name, string grid, GgmlType type)
    {
        using var source = new GridCheckpoint(CheckpointOpener.Open(Model(name, name.Contains("qwen", StringComparison.Ordinal) ? BothKinds : "{}")), _ => GgufExporterTests.Grid(grid));
        string path = _folder.File("model.gguf");
        GgufExport export = Export(source, path, Floats);
        using ICheckpoint back = CheckpointOpener.Open(path);
        int floats = 0;
        foreach (string tensor in ((ICheckpoint)source).Layout.Modules.Select(module => module.Name + ".weight").Some())
        {
            Assert.True(Values(source, tensor).AsSpan().SequenceEqual(Values(back, tensor)), tensor);
            if (tensor.EndsWith("kv_b_proj.weight", StringComparison.Ordinal))
            {
                Assert.Equal($"F32 and {type}", back.BlockTypeOf(tensor));
                Assert.Null(back.ReadQuantized(tensor));
                floats++;
                continue;
            }
            Assert.Equal($"{type}", back.BlockTypeOf(tensor));
            if (type != GgmlType.Q8_0) Assert.Equal(source.ReadQuantized(tensor)!.Codes, back.ReadQuantized(tensor)!.Codes);
        }
        Assert.Equal(floats > 0, export.Notes.Any(note => note.Contains("lie there as columns", StringComparison.Ordinal)));
        // From file to file every byte goes on.
        string copy = _folder.File("copy.gguf");
        Export(back, copy, new GgufExportOptions());
        using GgufFile first = GgufFile.Open(path), second = GgufFile.Open(copy);
        foreach (string tensor in first.Names.Some())
            Assert.True(first.GetBytes(tensor, 0, (int)first.Tensors[tensor].ByteLength).SequenceEqual(second.GetBytes(tensor, 0, (int)second.Tensors[tensor].ByteLength)), tensor);
    }

    [Fact]
    public void TheExportSaysWhichFloatsStandForCodes()
    {
        using var source = new GridCheckpoint(CheckpointOpener.Open(Model("hybrids/deepseek_v3", """{"rms_norm_eps": 1e-6}""")), _ => GgufExporterTests.Grid("w4 sym g32"));
        string path = _folder.File("model.gguf");
        string warning = Assert.Single(new GgufModelExporter().FindWarnings(new ExportSource(source), new ExportOptions { Output = path, Gguf = Floats }));
        // Two layers of four heads of 128 x 256.
        Assert.Equal(
            "blk.0.attn_k_b.weight and 1 more: rows of model.layers.0.self_attn.kv_b_proj.weight lie there as columns, which share no scale, so the exact values are stored as 32-bit floats (1 MB).", warning);
        Assert.Equal(warning, Assert.Single(Export(source, path, Floats).Notes));
    }

    [Fact]
    public void ColumnsOfOneScaleThatWouldBePartedAreRefused()
    {
        // Heads of 64 columns go elsewhere; groups of 128 hold two.
        using var source = new GridCheckpoint(
            CheckpointOpener.Open(Model("hybrids/qwen3_5", BothKinds)), name => GgufExporterTests.Grid(name.Contains("out_proj", StringComparison.Ordinal) ? "w4 sym g128" : "w4 sym g32"));
        string path = _folder.File("model.gguf");
        ExportException refused = Assert.Throws<ExportException>(() => Export(source, path, Floats));
        string problem = Assert.Single(refused.Problems);
        Assert.StartsWith("model.layers.0.linear_attn.out_proj.weight: its columns lie in another order in the qwen35 architecture of llama.cpp", problem, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
        Export(source, path, Floats with { Misfit = GgufMisfit.StoreFloats });
        using ICheckpoint back = CheckpointOpener.Open(path);
        Assert.Equal("F32", back.BlockTypeOf("model.layers.0.linear_attn.out_proj.weight"));
        Assert.Equal(Values(source, "model.layers.0.linear_attn.out_proj.weight"), Values(back, "model.layers.0.linear_attn.out_proj.weight"));
    }

    [Fact]
    public void ScalesThatAMultiplierWouldRoundAreRefused()
    {
        using var source = new GridCheckpoint(CheckpointOpener.Open(Model("hybrids/falcon_h1", "{}")), _ => GgufExporterTests.Grid("w4 sym g32"));
        Assert.Contains("no keys for the multipliers", Assert.Single(((ICheckpoint)source).Architecture.Gguf!.Warnings), StringComparison.Ordinal);
        ExportException refused = Assert.Throws<ExportException>(() => Export(source, _folder.File("model.gguf"), Floats));
        Assert.Contains("has no place for the multipliers of the configuration", Assert.Single(refused.Problems), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hybrids/qwen3_5", "{}", "no layer is one of attention; the qwen35 architecture of llama.cpp has layers of both kinds")]
    [InlineData("hybrids/lfm2", """{"full_attn_idxs": [0, 1]}""", "no layer is one that keeps a state; the lfm2 architecture")]
    [InlineData("hybrids/jamba", """{"attn_layer_offset": 2}""", "no layer is one of attention; the jamba architecture")]
    public void AModelOfLayersOfOneKindIsRefused(string name, string changes, string problem)
    {
        using ICheckpoint source = CheckpointOpener.Open(Model(name, changes));
        ExportException refused = Assert.Throws<ExportException>(() => Export(source, _folder.File("model.gguf"), Floats));
        Assert.StartsWith(problem, Assert.Single(refused.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public void SectionsThatLeavePairsOutAreRefused()
    {
        using ICheckpoint source = CheckpointOpener.Open(Model("hybrids/qwen3_5", """{"layer_types": ["linear_attention", "full_attention"], "rope_parameters": {"rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_section": [8, 0, 0]}}"""));
        ExportException refused = Assert.Throws<ExportException>(() => Export(source, _folder.File("model.gguf"), Floats));
        Assert.StartsWith("rope_parameters.mrope_section is [8, 0, 0]; the qwen35 architecture of llama.cpp has one position for pairs", Assert.Single(refused.Problems), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hybrids/glm4_moe_lite", "norms of latents have 1e-06 in this model and 1e-05 in the deepseek2 architecture")]
    [InlineData("hybrids/kimi_linear", "norms of latents and lengths of keys have 1e-06 in this model and 1e-05 in the kimi-linear architecture")]
    public void AnEpsilonThatTheEngineTakesFromElsewhereIsTold(string name, string warning)
    {
        using ICheckpoint source = CheckpointOpener.Open(Model(name, "{}"));
        Assert.Empty(source.Architecture.Gguf!.Problems);
        Assert.Contains(warning, Assert.Single(source.Architecture.Gguf.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void ATiedModelWithTwoMultipliersGetsAHeadOfItsOwn()
    {
        string folder = Model("hybrids/falcon_h1_norm", """{"mamba_norm_before_gate": false, "tie_word_embeddings": true}"""), path = _folder.File("model.gguf");
        using ICheckpoint source = CheckpointOpener.Open(folder);
        Assert.True(source.Config.TiedEmbeddings);
        Export(source, path, Floats);
        using ICheckpoint back = CheckpointOpener.Open(path);
        Assert.False(back.Config.TiedEmbeddings);
        float[] table = Values(source, "model.embed_tokens.weight");
        Assert.Equal(table.Select(value => value * 3f), Values(back, "model.embed_tokens.weight"));
        Assert.Equal(table.Select(value => value * 0.5f), Values(back, "lm_head.weight"));
    }

    [Fact]
    public void ABranchOnColumnsInAnotherOrderComputesOurLogits()
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string folder = Model("hybrids/qwen3_5", BothKinds), path = _folder.File("model.gguf"), lora = _folder.File("lora.gguf"), peft = _folder.File("adapter");
        string[] modules = ["model.layers.0.linear_attn.out_proj", "model.layers.0.linear_attn.in_proj_qkv", "model.layers.1.mlp.up_proj"];
        using (ICheckpoint plain = CheckpointOpener.Open(folder)) WriteAdapter(peft, plain, modules);
        using ICheckpoint source = CheckpointOpener.Open(folder, peft);
        using var own = new CausalModel(source, _device);
        float[] expected = ForwardTrace.Of(own, Ids).Logits;
        Export(source, path, Floats with { LeavesOutBranches = true });
        Assert.Equal(2 * modules.Length, GgufLoraExporter.Write(source, lora, GgmlType.F32, TestContext.Current.CancellationToken).Tensors.Count);
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        Assert.InRange(ForwardTrace.RelativeError(expected, context.Logits(Ids)), 0.01, 10);
        context.SetAdapters((model.LoadAdapter(lora), 1));
        Assert.InRange(ForwardTrace.RelativeError(expected, context.Logits(Ids)), 0, FloatTolerance);
        using var read = GgufLoraAdapter.Open(lora, CheckpointOpener.Open(folder));
        foreach (string module in modules)
        {
            LowRankBranch branch = read.Read(module)!, wanted = ((AdaptedCheckpoint)source).ReadBranch(module + ".weight")!;
            Assert.Equal(wanted.A, branch.A);
            Assert.Equal(wanted.B, branch.B);
        }
    }

    [Fact]
    public void BranchesOnWhatLiesInPartsOrTurnedAreRefused()
    {
        string folder = Model("hybrids/qwen3_next", BothKinds), peft = _folder.File("adapter");
        using (ICheckpoint plain = CheckpointOpener.Open(folder)) WriteAdapter(peft, plain, ["model.layers.0.linear_attn.in_proj_qkvz"]);
        using ICheckpoint source = CheckpointOpener.Open(folder, peft);
        ExportException refused = Assert.Throws<ExportException>(() => GgufLoraExporter.Write(source, _folder.File("lora.gguf"), cancellation: TestContext.Current.CancellationToken));
        Assert.Contains("in_proj_qkvz.weight' has a branch", Assert.Single(refused.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public void BlocksThatPredictFurtherTokensAreLeftUnreadAndPassedOn()
    {
        // As converters write them: one block more, in every list too.
        string path = _folder.File("model.gguf"), longer = _folder.File("longer.gguf"), copy = _folder.File("copy.gguf");
        using (ICheckpoint source = CheckpointOpener.Open(Model("hybrids/qwen3_5", BothKinds))) Export(source, path, Floats);
        using (GgufFile file = GgufFile.Open(path))
        {
            var keys = new Dictionary<string, GgufValue>(file.Metadata.All, StringComparer.Ordinal)
            {
                ["qwen35.block_count"] = GgufValue.Of(3u),
                ["qwen35.nextn_predict_layers"] = GgufValue.Of(1u),
                ["qwen35.attention.recurrent_layers"] = GgufValue.Of(new[] { true, false, false }),
            };
            PendingGgufTensor[] tensors =
            [
                .. file.Names.Select(name => PendingGgufTensor.Copy(file, name)),
                PendingGgufTensor.FromSingles("blk.2.nextn.eh_proj.weight", GgmlType.F32, [4, 8], new float[32]),
            ];
            GgufWriter.Write(longer, [.. keys], tensors, TestContext.Current.CancellationToken);
        }
        using var plain = new CausalModel(CheckpointOpener.Open(path), _device);
        using var more = new CausalModel(CheckpointOpener.Open(longer), _device);
        Assert.Equal(2, more.Config.Layers);
        Assert.Equal(ForwardTrace.Of(plain, Ids).Logits, ForwardTrace.Of(more, Ids).Logits);
        Export(more.Checkpoint, copy, new GgufExportOptions());
        using GgufFile passed = GgufFile.Open(copy);
        Assert.Contains("blk.2.nextn.eh_proj.weight", passed.Names);
    }

    [Fact]
    public void RatesThatAreNoneAreRefusedByName()
    {
        string path = _folder.File("model.gguf"), damaged = _folder.File("damaged.gguf");
        using (ICheckpoint source = CheckpointOpener.Open(Model("hybrids/jamba", "{}"))) Export(source, path, Floats);
        using (GgufFile file = GgufFile.Open(path))
        {
            PendingGgufTensor[] tensors = [.. file.Tensors.Values.Select(tensor => tensor.Name == "blk.0.ssm_a"
                ? PendingGgufTensor.FromSingles(tensor.Name, GgmlType.F32, [.. tensor.Shape], [.. Enumerable.Repeat(0.5f, (int)tensor.ElementCount)])
                : PendingGgufTensor.Copy(file, tensor.Name))];
            GgufWriter.Write(damaged, [.. file.Metadata.All], tensors, TestContext.Current.CancellationToken);
        }
        using ICheckpoint back = CheckpointOpener.Open(damaged);
        CheckpointException refused = Assert.Throws<CheckpointException>(() => Values(back, "model.layers.0.mamba.A_log"));
        Assert.Contains("'blk.0.ssm_a' holds 0.5; rates of decay are negative", refused.Message, StringComparison.Ordinal);
    }

    private static GgufExportOptions Floats => new() { Linear = GgmlType.F32, Embedding = GgmlType.F32, Output = GgmlType.F32, WithoutTokenizer = true };

    private static int[] Ids { get; } = [.. Enumerable.Range(0, 40).Select(i => (i * i * 7) % FamilyModels.Vocabulary)];

    private string Model(string name, string changes)
    {
        string folder = _folder.File("source");
        FamilyModels.Write(name, folder, changes);
        return folder;
    }

    private static void WriteAdapter(string folder, ICheckpoint model, string[] modules)
    {
        const int Rank = 3;
        var random = new SeededRandom(4);
        PeftAdapterWriter.Write(
            folder, [.. modules.Select(module =>
            {
                IReadOnlyList<int> shape = model.ShapeOf(module + ".weight");
                float[] a = [.. Enumerable.Range(0, Rank * shape[1]).Select(_ => 0.1f * (float)random.NextGaussian())], b = [.. Enumerable.Range(0, Rank * shape[0]).Select(_ => 0.1f * (float)random.NextGaussian())];
                return new AdapterModule(module, shape[0], shape[1], Rank, () => a, () => b);
            })],
            SafetensorsType.F32, AdapterForm.Pattern, "model", 32);
    }

    private static GgufExport Export(ICheckpoint source, string path, GgufExportOptions options) =>
        GgufExporter.Write(source, path, options, cancellation: TestContext.Current.CancellationToken);

    private static float[] Values(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        checkpoint.Read(name, values);
        return values;
    }
}
