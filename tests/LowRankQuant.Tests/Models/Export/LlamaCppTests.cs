using System.Runtime.InteropServices;
using System.Text.Json;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>Exported files in the engine they are made for: what it reads out of blocks, the logits it computes, the tokens it cuts.</summary>
[Collection(LlamaCppFixture.Collection)]
public sealed class LlamaCppTests : IDisposable
{
    // 32-bit floats on both sides; reference: golden/gguf/README.md, 2.5e-7 for the engine alone.
    private const double FloatTolerance = 2e-5;

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new();

    public static TheoryData<string> BlockTypes => ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_0", "q2_K", "q3_K", "q4_K", "q5_K", "q6_K"];

    public static TheoryData<string> Grids => GgufExporterTests.Grids;

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void TheEngineGivesTheReferenceLogits()
    {
        // If this fails, the engine or the way it is called is at fault, not the exporter.
        string root = TestData.Path("golden", "gguf", "tinystories-656k");
        using LlamaModel model = LlamaCppFixture.Engine.Open(Path.Combine(root, "model-f32.gguf"));
        using LlamaContext context = model.CreateContext(exact: true);
        float[] expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.Combine(root, "logits-f32-exact.f32"))).ToArray();
        Assert.InRange(ForwardTrace.RelativeError(expected, context.Logits(ReferenceIds())), 0, 1e-6);
    }

    [Theory]
    [MemberData(nameof(BlockTypes))]
    public void BlocksHaveTheEnginesValuesBitForBit(string type)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        var ggml = Enum.Parse<GgmlType>(type, ignoreCase: true);
        (int elements, int bytes) = ggml.Block();
        var random = new SeededRandom(5);
        byte[] blocks = new byte[96 * bytes];
        for (int i = 0; i < blocks.Length; i++) blocks[i] = (byte)random.NextInt32(256);
        float[] expected = new float[96 * elements], actual = new float[expected.Length];
        engine.Dequantize(type, blocks, expected);
        string path = _folder.File("a.gguf");
        GgufWriter.Write(path, [], [new PendingGgufTensor("w", ggml, [96, elements], sink => sink.Write(blocks))], TestContext.Current.CancellationToken);
        using GgufFile file = GgufFile.Open(path);
        file.ReadSingles("w", actual);
        for (int i = 0; i < expected.Length; i++)
        {
            // Random halves hold NaN, whose payload is nobody's promise.
            if (!float.IsNaN(expected[i])) Assert.Equal(BitConverter.SingleToInt32Bits(expected[i]), BitConverter.SingleToInt32Bits(actual[i]));
            else Assert.True(float.IsNaN(actual[i]));
        }
    }

    [Theory]
    [InlineData("llama_mha")]
    [InlineData("llama_gqa_sharded")]
    [InlineData("llama_mqa_fp32")]
    [InlineData("llama_tied")]
    [InlineData("llama_head_dim")]
    [InlineData("llama_bias")]
    [InlineData("llama_rope_llama3")]
    [InlineData("llama_rope_linear")]
    [InlineData("llama_rope_yarn")]
    public void EveryKindOfConfigurationComputesTheReferenceLogits(string name)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string folder = TestData.Path("golden", "models", name), path = _folder.File("model.gguf");
        using ICheckpoint source = CheckpointOpener.Open(folder);
        Export(source, path, GgmlType.F32, tokenizer: false);
        using SafetensorsFile golden = SafetensorsFile.Open(folder + ".safetensors");
        int[] ids = [.. Read<long>(golden, "b.ids").Select(id => (int)id)];
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        double error = ForwardTrace.RelativeError(Read<float>(golden, "b.logits"), context.Logits(ids));
        Assert.True(error < FloatTolerance, $"{name}: relative difference {error}");
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void QuantizedModelsComputeOurLogits(string grid)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        using var source = new GridCheckpoint(CheckpointOpener.Open(TestData.Demo), _ => GgufExporterTests.Grid(grid));
        using var own = new CausalModel(source, _device);
        int[] ids = DemoIds();
        float[] expected = ForwardTrace.Of(own, ids).Logits;

        // The engine rounds the inputs of quantized layers to 8 bits, of blocks of 32 or 256; our own files lose nothing else.
        string path = _folder.File("model.gguf");
        Export(source, path, GgmlType.F32);
        float[] quantized = Logits(engine, path, ids);
        double error = ForwardTrace.RelativeError(expected, quantized);
        double full = ForwardTrace.RelativeError(Logits(engine, FullPrecision(), ids), quantized);
        TestContext.Current.TestOutputHelper?.WriteLine($"{grid}: {error:g3} from our logits, {full:g3} from full precision");
        Assert.True(error < 0.02, $"{grid}: relative difference {error}");
    }

    [Fact]
    public void TheBranchOfAnAdapterComputesOurLogits()
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string adapter = WriteAdapter(), basePath = _folder.File("base.gguf"), loraPath = _folder.File("lora.gguf");
        int[] ids = DemoIds();
        using ICheckpoint source = CheckpointOpener.Open(TestData.Demo, adapter);
        using var merged = new CausalModel(source, _device);
        float[] expected = ForwardTrace.Of(merged, ids).Logits;
        ExportException refused = Assert.Throws<ExportException>(() => Export(source, basePath, GgmlType.F32));
        Assert.Contains("low-rank branches", refused.Message, StringComparison.Ordinal);
        GgufExporter.Write(
            source, basePath, new GgufExportOptions { Linear = GgmlType.F32, Embedding = GgmlType.F32, LeavesOutBranches = true }, cancellation: TestContext.Current.CancellationToken);
        GgufExport lora = GgufLoraExporter.Write(source, loraPath, cancellation: TestContext.Current.CancellationToken);
        // Ranks 1 to 5 over 28 layers, and one without a branch.
        Assert.Equal(2 * 27, lora.Tensors.Count);

        using LlamaModel model = engine.Open(basePath);
        using LlamaContext context = model.CreateContext(exact: true);
        float[] plain = context.Logits(ids);
        Assert.InRange(ForwardTrace.RelativeError(Logits(engine, FullPrecision(), ids), plain), 0, 1e-9);
        context.SetAdapters((model.LoadAdapter(loraPath), 1));
        float[] both = context.Logits(ids);
        Assert.InRange(ForwardTrace.RelativeError(expected, plain), 0.02, 10);
        double error = ForwardTrace.RelativeError(expected, both);
        Assert.True(error < FloatTolerance, $"relative difference {error}");
        // A in blocks of 8 bits, B with its rows of 1 to 5 in floats.
        string blocks = _folder.File("blocks.gguf");
        GgufExport rounded = GgufLoraExporter.Write(source, blocks, GgmlType.Q8_0, TestContext.Current.CancellationToken);
        Assert.Equal((27, 27), (rounded.Tensors.Count(tensor => tensor.Type == GgmlType.Q8_0), rounded.Tensors.Count(tensor => tensor.Type == GgmlType.F32)));
        context.SetAdapters((model.LoadAdapter(blocks), 1));
        Assert.InRange(ForwardTrace.RelativeError(expected, context.Logits(ids)), 0, 0.02);
        context.SetAdapters();
        Assert.Equal(plain, context.Logits(ids));
    }

    [Fact]
    public void TheVocabularyCutsTextAsTheTokenizerDoes()
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        using LlamaModel model = engine.Open(FullPrecision());
        using ICheckpoint source = CheckpointOpener.Open(TestData.Demo);
        ITokenizer tokenizer = source.LoadTokenizer();
        Assert.Equal(source.Config.VocabularySize, model.VocabularySize);
        string[] texts = ["Once upon a time", " two  spaces\nand\tmore", "It's 3.14 or 1234567!", "caf\u00E9 \u4F60\u597D \U0001F600", tokenizer.TokenText(tokenizer.EosId!.Value) + " after the end", File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"))];
        foreach (string text in texts) Assert.Equal(tokenizer.Encode(text, addSpecialTokens: true), model.Tokenize(text, special: true));
    }

    [Fact]
    public void TextIsGeneratedAsOurModelGeneratesIt()
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        using LlamaModel model = engine.Open(FullPrecision());
        using LlamaContext context = model.CreateContext(exact: true);
        using var own = new CausalModel(CheckpointOpener.Open(TestData.Demo), _device);
        int[] prompt = model.Tokenize("Once upon a time there was", special: true);
        int[] added = context.Generate(prompt, 24);
        int vocabulary = model.VocabularySize;
        float[] logits = ForwardTrace.Of(own, [.. prompt, .. added]).Logits;
        for (int i = 0; i < added.Length; i++)
        {
            ReadOnlySpan<float> row = logits.AsSpan((prompt.Length + i - 1) * vocabulary, vocabulary);
            foreach (float value in row) Assert.True(value <= row[added[i]]);
        }
    }

    private static int[] ReferenceIds()
    {
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "gguf", "tinystories-656k", "report.json")));
        return [.. report.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
    }

    private static int[] DemoIds()
    {
        using ICheckpoint demo = CheckpointOpener.Open(TestData.Demo);
        return demo.LoadTokenizer().Encode(File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt")), addSpecialTokens: true)[..96];
    }

    private static float[] Logits(LlamaEngine engine, string path, int[] ids)
    {
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        return context.Logits(ids);
    }

    private static void Export(ICheckpoint source, string path, GgmlType type, bool tokenizer = true) => GgufExporter.Write(
        source, path, new GgufExportOptions { Linear = type, Embedding = type, Output = type, WithoutTokenizer = !tokenizer }, cancellation: TestContext.Current.CancellationToken);

    private static T[] Read<T>(SafetensorsFile file, string name)
        where T : unmanaged
    {
        T[] values = new T[file.Tensors[name].ElementCount];
        file.Read(name, values.AsSpan());
        return values;
    }

    private string FullPrecision()
    {
        string path = _folder.File("full.gguf");
        if (File.Exists(path)) return path;
        using ICheckpoint source = CheckpointOpener.Open(TestData.Demo);
        Export(source, path, GgmlType.F32);
        return path;
    }

    /// <summary>Random branches of another rank for every layer, large enough to change the logits.</summary>
    private string WriteAdapter()
    {
        using ICheckpoint demo = CheckpointOpener.Open(TestData.Demo);
        var random = new SeededRandom(9);
        var modules = new List<AdapterModule>();
        foreach (string name in demo.TensorNames.Where(name => name.EndsWith("_proj.weight", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
        {
            IReadOnlyList<int> shape = demo.ShapeOf(name);
            int rank = modules.Count == 0 ? 0 : 1 + (modules.Count % 5);
            float[] a = Draw(rank * shape[1]), b = Draw(rank * shape[0]);
            modules.Add(new AdapterModule(name[..^".weight".Length], shape[0], shape[1], rank, () => a, () => b));
        }
        string folder = _folder.File("adapter");
        PeftAdapterWriter.Write(folder, modules, SafetensorsType.F32, AdapterForm.Pattern, "demo", 32);
        return folder;

        float[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => 0.03f * (float)random.NextGaussian())];
    }
}
