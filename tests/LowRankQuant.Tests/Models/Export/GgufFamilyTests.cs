using System.Text.Json;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Export;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>
/// Reference checkpoints of every family as GGUF: what llama.cpp computes of them, what comes back when they are read, and what is refused because llama.cpp would compute
/// something else. The figures stand in docs/results/gguf-families.md.
/// </summary>
[Collection(LlamaCppFixture.Collection)]
public sealed class GgufFamilyTests : IDisposable
{
    private const double FloatTolerance = 1e-5, GeluTolerance = 1e-3;

    // 32-bit floats on both sides.
    private static readonly string[] Exact =
    [
        "models/cohere", "models/granite", "models/llama_mha", "models/mistral_nemo", "models/mixtral", "models/olmo2", "models/olmo2_gqa", "models/qwen2", "models/qwen2_tied",
        "models/qwen3", "models/qwen3_moe", "models/qwen3_tied_yarn", "models/stablelm", "models/stablelm_12b", "models2/apertus", "models2/arcee", "models2/dbrx", "models2/ernie4_5",
        "models2/ernie4_5_moe", "models2/glm4", "models2/glm4_moe", "models2/glm4_moe_air", "models2/hunyuan_v1_dense", "models2/mimo_v2_flash", "models2/minimax_m2",
        "models2/ministral3", "models2/mistral3", "models2/mistral3_tied", "models2/olmo3", "models2/qwen2_moe", "models2/seed_oss",
        "hybrids/qwen3_5", "hybrids/qwen3_5_moe", "hybrids/qwen3_next", "hybrids/lfm2", "hybrids/lfm2_moe", "hybrids/granitemoehybrid", "hybrids/granitemoehybrid_dense",
        "hybrids/nemotron_h", "hybrids/nemotron_h_moe", "hybrids/bamba", "hybrids/jamba", "hybrids/kimi_linear", "hybrids/kimi_k2",
        "hybrids/glm4_moe_lite", "hybrids/deepseek_v3_fp8", "hybrids/mistral4",
    ];

    // Granite in GGUF, whose names it comes back with: GgufHybridTests.
    private const string ReadAsAnother = "hybrids/granitemoehybrid_rope";

    // llama.cpp has GELU in a table of halves: golden/gguf/README.md.
    private static readonly string[] Tabled =
    [
        "models/bloom", "models/bloom_6heads", "models/falcon_11b", "models/falcon_40b", "models/falcon_7b", "models/gemma", "models/gpt2", "models/gpt_neox",
        "models/gpt_neox_serial", "models/phi", "models/starcoder2_untied", "models2/gemma4", "models2/gemma4_moe", "models2/gemma4_text", "models2/gpt_bigcode",
        "models2/gpt_bigcode_mha", "models2/mpt",
    ];

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 2 });

    public static TheoryData<string, double> Cases =>
        [.. Exact.Append(ReadAsAnother).Select(name => (name, FloatTolerance)).Concat(Tabled.Select(name => (name, GeluTolerance)))];

    /// <summary>Those, and what is read back all the same though llama.cpp takes another list of LongRoPE for short texts.</summary>
    public static TheoryData<string> ReadCases => [.. Exact.Concat(Tabled).Append("models/phi3_longrope").Append("models/phi4_mini")];

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void TheEngineComputesTheReferenceLogits(string name, double tolerance)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string path = Write(name);
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        foreach (string text in new[] { "a", "b" })
        {
            double error = Error(name, text, ids => context.Logits(ids));
            Assert.True(error < tolerance, $"{name}, {text}: relative difference {error}");
        }
    }

    [Theory]
    [InlineData("models/phi3_longrope")]
    [InlineData("models/phi4_mini")]
    public void TheLongListOfLongRopeIsTheEngines(string name)
    {
        // Text b is longer than the original context; for a llama.cpp takes the long list too, and the export says so.
        LlamaEngine engine = LlamaCppFixture.Engine;
        using ICheckpoint source = CheckpointOpener.Open(Folder(name));
        Assert.Contains("long list whenever its context is larger than 32", Assert.Single(source.Architecture.Gguf!.Warnings), StringComparison.Ordinal);
        using LlamaModel model = engine.Open(Write(name));
        using LlamaContext context = model.CreateContext(exact: true);
        Assert.InRange(Error(name, "b", ids => context.Logits(ids)), 0, FloatTolerance);
    }

    [Theory]
    [InlineData("models/mistral", 12, FloatTolerance)]
    [InlineData("models/phi3", 20, FloatTolerance)]
    [InlineData("models/qwen2_window", 12, FloatTolerance)]
    [InlineData("models/starcoder2", 14, GeluTolerance)]
    public async Task WhereTheEngineHasNoWindowsAFileSaysTheContextThatItComputesAlike(string name, int window, double tolerance)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        using ICheckpoint source = CheckpointOpener.Open(Folder(name));
        Assert.Contains($"the file says that the context is {window} tokens", Assert.Single(source.Architecture.Gguf!.Warnings), StringComparison.Ordinal);
        string path = Write(name);
        using (ICheckpoint file = CheckpointOpener.Open(path)) Assert.Equal(window, file.Config.MaxPositions);
        EndToEnd.CliResult verified = await EndToEnd.Lrq.Run("verify", path, "--against", Folder(name));
        Assert.DoesNotContain("different: sliding_window", verified.Out, StringComparison.Ordinal);
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        using SafetensorsFile golden = SafetensorsFile.Open(Folder(name) + ".safetensors");
        int length = (int)golden.ShapeOf("a.ids")[1], vocabulary = source.Config.VocabularySize;
        long[] ids = new long[golden.Tensors["a.ids"].ElementCount];
        golden.Read("a.ids", ids.AsSpan());
        var logits = new float[golden.Tensors["a.logits"].ElementCount];
        golden.ReadSingles("a.logits", logits);
        Assert.True(length > window);
        Assert.InRange(ForwardTrace.RelativeError(logits.AsSpan(0, window * vocabulary), context.Logits([.. ids.Take(window).Select(id => (int)id)])), 0, tolerance);
        Assert.True(ForwardTrace.RelativeError(logits.AsSpan(0, length * vocabulary), context.Logits([.. ids.Take(length).Select(id => (int)id)])) > 100 * tolerance);
    }

    [Theory]
    [MemberData(nameof(ReadCases))]
    public void TensorsConfigurationAndLogitsComeBack(string name)
    {
        using ICheckpoint source = CheckpointOpener.Open(Folder(name));
        using var model = new CausalModel(CheckpointOpener.Open(Write(name)), _device);
        ICheckpoint file = model.Checkpoint;
        foreach (string tensor in source.Layout.Tensors.Select(tensor => tensor.Name).Some())
        {
            float[] expected = Values(source, tensor), actual = Values(file, tensor);
            Assert.True(((GgufCheckpoint)file).Kept(tensor, expected).AsSpan().SequenceEqual(actual), tensor);
        }
        DecoderConfig wanted = Comparable(source.Config), found = Comparable(file.Config);
        // Where all layers are mixers and experts the width of an MLP is nobody's.
        if (name == "hybrids/nemotron_h_moe") found = found with { IntermediateSize = wanted.IntermediateSize };
        Assert.Equal(wanted, found);
        // GELU of GPT-BigCode is the tanh form in llama.cpp, whatever the configuration said.
        double tolerance = name.EndsWith("gpt_bigcode_mha", StringComparison.Ordinal) ? GeluTolerance : FloatTolerance;
        foreach (string text in new[] { "a", "b" }) Assert.InRange(Error(name, text, ids => ForwardTrace.Of(model, ids).Logits), 0, tolerance);
    }

    [Theory]
    [InlineData("models/bloom")]
    [InlineData("models/gemma")]
    [InlineData("models/gpt2")]
    [InlineData("models/mistral_nemo")]
    [InlineData("models/mixtral")]
    [InlineData("models/phi3_longrope")]
    [InlineData("models/stablelm_12b")]
    [InlineData("models2/dbrx")]
    [InlineData("models2/gemma4_moe")]
    [InlineData("models2/glm4_moe")]
    [InlineData("models2/mimo_v2_flash")]
    [InlineData("models2/mistral3")]
    [InlineData("models2/olmo3")]
    [InlineData("models2/qwen2_moe")]
    [InlineData("hybrids/qwen3_5")]
    [InlineData("hybrids/granitemoehybrid")]
    [InlineData("hybrids/nemotron_h")]
    [InlineData("hybrids/kimi_linear")]
    [InlineData("hybrids/kimi_k2")]
    public async Task VerifyFindsAFileTheSameAsItsSource(string name)
    {
        EndToEnd.CliResult verified = await EndToEnd.Lrq.Run("verify", Write(name), "--against", Folder(name));
        // Ends of text stand in the vocabulary, and these files have none.
        Assert.Contains("by values, sizes and rotary angles", verified.Out, StringComparison.Ordinal);
        Assert.All(
            verified.Out.Split('\n').Where(line => line.StartsWith("different:", StringComparison.Ordinal)),
            line => Assert.Contains("_token_id", line, StringComparison.Ordinal));
        EndToEnd.CliResult shown = await EndToEnd.Lrq.Run("inspect", _folder.File("model.gguf"));
        Assert.Equal((0, ""), (shown.Code, shown.Error));
    }

    [Theory]
    [InlineData("models/cohere2", "layer 2 has not a window")]
    [InlineData("models/cohere_qk_norm", "use_qk_norm is true; the command-r architecture of llama.cpp has false built in for 2 layers")]
    [InlineData("models/falcon_rw", "alibi is true")]
    [InlineData("models/gemma2", "query_pre_attn_scalar is 12; the gemma2 architecture of llama.cpp has 16 built in")]
    [InlineData("models/gemma3_text", "query_pre_attn_scalar is 24")]
    [InlineData("models/gpt2_prefix", "scale_attn_by_inverse_layer_idx is true")]
    [InlineData("models/llama_rope_dynamic", "rope_scaling 'dynamic' is unknown to llama.cpp")]
    [InlineData("models/llama_rope_yarn_mscale", "truncate false")]
    [InlineData("models/opt_125m", "model_type 'opt' has no counterpart")]
    [InlineData("models/qwen3_moe_dense_mix", "norm_topk_prob is false; the qwen3moe architecture of llama.cpp has true built in")]
    [InlineData("models/smollm3", "layer 2 has not a rotation")]
    [InlineData("models2/exaone4_1b", "4 heads of 16 are not as wide as the stream, 32")]
    [InlineData("models2/gpt_oss", "swiglu_limit is 1.5; the gpt-oss architecture of llama.cpp has 7 built in")]
    [InlineData("models2/llama4_text", "attention_chunk_size is 16")]
    [InlineData("models2/nemotron", "4 heads of 16 are not as wide as the stream, 32")]
    [InlineData("models2/olmoe", "clip_qkv is 1.2")]
    [InlineData("models2/phimoe", "sparsemixer")]
    [InlineData("models2/smollm3_window", "o_proj.bias and 15 more: the smollm3 architecture of GGUF has no such tensor")]
    [InlineData("hybrids/qwen3_5_text", "linear_value_head_dim is 24; the qwen35 architecture of llama.cpp has one size of heads of keys and values, and keys have 16")]
    [InlineData("hybrids/qwen3_5_text", "the epsilon of lengths of keys is 1e-06; the qwen35 architecture of llama.cpp has that of all norms, 0.001")]
    [InlineData("hybrids/deepseek_v2", "q_lora_rank is null; the deepseek2 architecture of llama.cpp has a latent of queries built in for 2 layers")]
    [InlineData("hybrids/deepseek_v3", "the epsilon of norms of latents is 1e-06; the deepseek2 architecture of llama.cpp has that of all norms, 0.001")]
    [InlineData("hybrids/deepseek_v3_noq", "q_lora_rank is null")]
    [InlineData("hybrids/lfm2_bias", "conv.in_proj.bias and 2 more: the lfm2 architecture of GGUF has no such tensor")]
    [InlineData("hybrids/lfm3", "model_type 'lfm3' has no counterpart")]
    [InlineData("hybrids/falcon_h1_norm", "mamba_norm_before_gate is true; the falcon-h1 architecture of llama.cpp has the gate in front of the norm")]
    [InlineData("hybrids/mamba2", "time_step_limit is [0.1, 1]; the mamba2 architecture of llama.cpp has no bounds of the steps")]
    public void WhatTheEngineWouldComputeOtherwiseIsRefusedByName(string name, string message)
    {
        using ICheckpoint source = CheckpointOpener.Open(Folder(name));
        string path = _folder.File("refused.gguf");
        ExportException refused = Assert.Throws<ExportException>(() => Export(source, path, new GgufExportOptions { WithoutTokenizer = true }));
        Assert.Contains(message, string.Join('\n', refused.Problems), StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    [Theory]
    [MemberData(nameof(ReadCases))]
    public void EveryNameIsOneThatTheEngineKnows(string name)
    {
        using ICheckpoint source = CheckpointOpener.Open(Folder(name));
        GgufForm form = source.Architecture.Gguf!;
        using JsonDocument known = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "gguf", "architectures.json")));
        HashSet<string> names = [.. known.RootElement.GetProperty("architectures").GetProperty(form.Name).GetProperty("tensors").EnumerateArray().Select(tensor => tensor.GetProperty("gguf").GetString()!)];
        foreach (GgufStored tensor in form.Place(source.Layout, out _).Some())
        {
            string[] parts = tensor.Name.Split('.');
            string general = parts[0] == "blk" ? $"blk.{{i}}.{string.Join('.', parts[2..])}" : tensor.Name;
            Assert.Contains(general, names);
        }
    }

    [Theory]
    [InlineData("w4 sym g32", GgmlType.Q4_0)]
    [InlineData("w8 sym", GgmlType.Q8_0)]
    public void ExpertsOfAStackKeepTheirCodes(string grid, GgmlType type)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        using var source = new GridCheckpoint(CheckpointOpener.Open(Folder("models/mixtral")), _ => Grid(grid));
        string path = _folder.File("stack.gguf");
        GgufExport export = Export(source, path, Floats);
        using (GgufFile file = GgufFile.Open(path))
        {
            Assert.Equal(type, file.Tensors["blk.1.ffn_up_exps.weight"].Type);
            Assert.Equal([4L, 64, 64], file.ShapeOf("blk.1.ffn_up_exps.weight"));
            Assert.Equal(GgmlType.F32, file.Tensors["blk.1.ffn_gate_inp.weight"].Type);
        }
        // Four projections and three stacks a block.
        Assert.Equal(2 * 7, export.Tensors.Count(tensor => tensor.IsLinear && tensor.KeepsGrid));
        using var back = new CausalModel(CheckpointOpener.Open(path), _device);
        foreach (string tensor in ((ICheckpoint)source).Layout.Modules.Select(module => module.Name + ".weight").Some())
        {
            // Rows of q and k lie in another order in the file.
            var expected = Assert.IsType<UniformWeight>(source.ReadQuantized(tensor));
            var actual = Assert.IsType<UniformWeight>(back.Checkpoint.ReadQuantized(tensor));
            if (type == GgmlType.Q4_0) Assert.Equal(expected.Codes, actual.Codes);
            Assert.Equal(Values(source, tensor), Values(back.Checkpoint, tensor));
        }
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        int[] ids = [.. Enumerable.Range(0, 40).Select(i => (i * 37) % 160)];
        // The engine rounds the inputs of quantized layers to 8 bits, by which a token may go to another expert; experts out of order would give about 1.
        Assert.InRange(ForwardTrace.RelativeError(ForwardTrace.Of(back, ids).Logits, context.Logits(ids)), 0, 0.15);
    }

    [Fact]
    public void ExpertsInMxfp4KeepTheirCodesAndScales()
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string model = _folder.File("mxfp4"), path = _folder.File("mxfp4.gguf");
        // What llama.cpp has built in: the clamp of the gate, and borders of the ramp in whole dimensions.
        Directory.CreateDirectory(model);
        foreach (string file in Directory.GetFiles(Folder("models2/gpt_oss_mxfp4"))) File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        DemoCopy.Edit(model, "config.json", json =>
        {
            json["swiglu_limit"] = 7.0;
            json["rope_scaling"]!.AsObject().Remove("truncate");
        });
        using ICheckpoint source = CheckpointOpener.Open(model);
        var options = new GgufExportOptions { WithoutTokenizer = true, Embedding = GgmlType.F32, Output = GgmlType.F32 };
        Assert.Empty(new GgufModelExporter().FindProblems(new ExportSource(source), new ExportOptions { Output = path, Gguf = options }));
        Export(source, path, options);
        using var back = new CausalModel(CheckpointOpener.Open(path), _device);
        foreach (string tensor in source.Layout.Modules.Select(module => module.Name + ".weight").Where(name => name.Contains(".experts.", StringComparison.Ordinal)).Some())
        {
            Assert.Equal("MXFP4", back.Checkpoint.BlockTypeOf(tensor));
            Assert.Equal(Values(source, tensor).Select(value => value + 0f), Values(back.Checkpoint, tensor).Select(value => value + 0f));
        }
        using LlamaModel loaded = engine.Open(path);
        using LlamaContext context = loaded.CreateContext(exact: true);
        int[] ids = [.. Enumerable.Range(0, 40).Select(i => (i * 37) % 160)];
        Assert.InRange(ForwardTrace.RelativeError(ForwardTrace.Of(back, ids).Logits, context.Logits(ids)), 0, 0.15);
    }

    [Fact]
    public void ExpertsOnGridsOfTwoKindsAreRefusedByTheNameOfTheirStack()
    {
        using var source = new GridCheckpoint(
            CheckpointOpener.Open(Folder("models/mixtral")), name => name.Contains("experts.3.w1", StringComparison.Ordinal) ? null : Grid("w4 sym g32"));
        ExportException refused = Assert.Throws<ExportException>(() => Export(source, _folder.File("a.gguf"), Floats));
        Assert.Equal(2, refused.Problems.Count);
        string problem = refused.Problems[0];
        Assert.StartsWith("blk.0.ffn_gate_exps.weight: a tensor has one type of blocks, and its 4 parts come as ", problem, StringComparison.Ordinal);
        Assert.Contains("Q4_0 (model.layers.", problem, StringComparison.Ordinal);
        Assert.Contains("floats (model.layers.", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void WeightsOfOneTensorShareTheSmallestTypeThatHoldsAll()
    {
        // 4 bits with zero points lie in Q4_1 or in Q5_0 by their scales; 8 symmetric bits in Q8_0 beside either.
        using var source = new GridCheckpoint(
            CheckpointOpener.Open(Folder("models/mixtral")), name => Grid(name.Contains("experts.2.", StringComparison.Ordinal) ? "w8 sym" : "w4 sym g32"));
        string path = _folder.File("a.gguf");
        Export(source, path, Floats);
        using ICheckpoint back = CheckpointOpener.Open(path);
        Assert.Equal("Q8_0", back.BlockTypeOf("model.layers.0.block_sparse_moe.experts.0.w1.weight"));
        foreach (string tensor in back.TensorNames) Assert.Equal(Values(source, tensor), Values(back, tensor));
    }

    [Fact]
    public void AFileIsPassedOnWithAllThatItHolds()
    {
        string path = Write("models2/gemma4_moe"), copy = _folder.File("copy.gguf");
        using ICheckpoint source = CheckpointOpener.Open(path);
        Export(source, copy, new GgufExportOptions());
        using GgufFile expected = GgufFile.Open(path), actual = GgufFile.Open(copy);
        Assert.Equal(expected.Names.Order(StringComparer.Ordinal), actual.Names.Order(StringComparer.Ordinal));
        foreach (string tensor in expected.Names.Some())
            Assert.True(expected.GetBytes(tensor, 0, (int)expected.Tensors[tensor].ByteLength).SequenceEqual(actual.GetBytes(tensor, 0, (int)actual.Tensors[tensor].ByteLength)), tensor);
        Assert.Equal(expected.Metadata.All.Keys.Order(StringComparer.Ordinal), actual.Metadata.All.Keys.Order(StringComparer.Ordinal));
    }

    private static GgufExportOptions Floats => new() { Linear = GgmlType.F32, Embedding = GgmlType.F32, Output = GgmlType.F32, WithoutTokenizer = true };

    private static string Folder(string name) => TestData.Path(["golden", .. name.Split('/')]);

    private static UniformGrid Grid(string name) => (UniformGrid)GgufExporterTests.Grid(name);

    private static GgufExport Export(ICheckpoint source, string path, GgufExportOptions options) =>
        GgufExporter.Write(source, path, options, cancellation: TestContext.Current.CancellationToken);

    // Ends of text and the choice of a tied head stand in the vocabulary and in the tensors; angles are 32-bit floats.
    private static DecoderConfig Comparable(DecoderConfig config) => config with
    {
        ModelType = "",
        BosId = null,
        EosIds = [],
        TiedEmbeddings = false,
        Rope = new RopeConfig { Theta = 2, RotatedSize = config.Rope.RotatedSize, Interleaved = config.Rope.Interleaved, Scaling = config.Rope.Scaling },
        Activation = config.Activation == Numerics.Activation.GeluErf ? Numerics.Activation.GeluTanh : config.Activation,
    };

    private string Write(string name)
    {
        string path = _folder.File("model.gguf");
        using ICheckpoint source = CheckpointOpener.Open(Folder(name));
        Export(source, path, Floats);
        return path;
    }

    private static double Error(string name, string text, Func<int[], float[]> run)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Folder(name) + ".safetensors");
        long[] stored = new long[golden.Tensors[$"{text}.ids"].ElementCount];
        golden.Read($"{text}.ids", stored.AsSpan());
        var expected = new float[golden.Tensors[$"{text}.logits"].ElementCount];
        golden.ReadSingles($"{text}.logits", expected);
        int batch = (int)golden.ShapeOf($"{text}.ids")[0], length = stored.Length / batch;
        float[] actual = [.. Enumerable.Range(0, batch).SelectMany(b => run([.. stored.Skip(b * length).Take(length).Select(id => (int)id)]))];
        return ForwardTrace.RelativeError(expected, actual);
    }

    private static float[] Values(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        checkpoint.Read(name, values);
        return values;
    }
}
