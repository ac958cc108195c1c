using LowRankQuant.Formats.Gguf;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Tests.Formats;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>Block types that are read and not written, against llama.cpp's own quantizers and its own values.</summary>
[Collection(LlamaCppFixture.Collection)]
public sealed class LlamaCppBlockTests : IDisposable
{
    private const int Vocabulary = 96;

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Types => [.. GgufBlockSamples.ReadOnlyTypes];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Types))]
    [InlineData("Q4_K")]
    [InlineData("Q5_0")]
    [InlineData("Q6_K")]
    [InlineData("Q8_0")]
    public void RandomBlocksHaveTheEnginesValues(string name)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        var type = Enum.Parse<GgmlType>(name);
        float[] values = Same(engine, type, GgufBlockSamples.Random(type));
        Assert.DoesNotContain(float.NaN, values);
        TestContext.Current.TestOutputHelper?.WriteLine($"[\"{name}\"] = \"{GgufBlockSamples.Hash(values)}\",");
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void TheEnginesOwnBlocksHaveItsValues(string name)
    {
        const int Rows = 24, Columns = 768;
        LlamaEngine engine = LlamaCppFixture.Engine;
        var type = Enum.Parse<GgmlType>(name);
        (int elements, int bytes) = type.Block();
        var random = SeededRandom.Derive(22, (ulong)type);
        // Ternary types are made for ternary weights.
        bool ternary = type is GgmlType.TQ1_0 or GgmlType.TQ2_0;
        float[] weights = [.. Enumerable.Range(0, Rows * Columns).Select(_ => 0.1f * (ternary ? random.NextInt32(3) - 1 : (float)random.NextGaussian()))];
        float[] importance = [.. Enumerable.Range(0, Columns).Select(_ => 0.5f + (float)random.NextUniform())];
        byte[] blocks = new byte[Rows * Columns / elements * bytes];
        engine.QuantizeRows((int)type, weights, Columns, importance, blocks);
        float[] values = Same(engine, type, blocks);
        // The values are the weights, as well as so few bits can tell them: with 1 bit they are 0.6 of their length away, with 4 bits a tenth.
        double error = ForwardTrace.RelativeError(weights, values);
        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: {error:g3}");
        Assert.InRange(error, 0, ternary ? 0.001 : 0.65);
    }

    [Theory]
    [InlineData("Q4_1", 4, 32)]
    [InlineData("Q4_1", 3, 96)]
    [InlineData("Q5_1", 5, 32)]
    public void MinimaThatAreSearchedHaveTheEnginesValues(string name, int bits, int group)
    {
        const int Rows = 12, Columns = 768;
        LlamaEngine engine = LlamaCppFixture.Engine;
        var type = Enum.Parse<GgmlType>(name);
        var random = SeededRandom.Derive(23, (ulong)bits);
        float[] weights = [.. Enumerable.Range(0, Rows * Columns).Select(i => (0.1f * (float)random.NextGaussian()) + (i / Columns * 0.01f))], expected = new float[weights.Length];
        using var workers = new WorkerPool(1);
        QuantizedWeight rounded = FittedGrid.Find(weights, Rows, Columns, new Scheme(new AffineGrid(bits, group), GridStart.Search, ScaleType.Float16), workers).Round(weights, default, workers);
        rounded.Dequantize(expected);
        Assert.Equal(expected, Same(engine, type, GgufMappings.Encode(rounded, type)));
    }

    // Numbers are llama_ftype: the type asked for, and the one that stands for most of what the engine wrote.
    [Theory]
    [InlineData(15, 8, "Q4_K Q5_0 Q6_K Q8_0")]
    [InlineData(20, 25, "IQ2_XS IQ4_NL Q4_0 Q8_0")]
    [InlineData(24, 25, "IQ1_S IQ4_NL Q4_0 Q8_0")]
    [InlineData(26, 25, "IQ3_S IQ4_NL Q8_0")]
    [InlineData(30, 25, "IQ4_NL IQ4_XS Q8_0")]
    [InlineData(36, 2, "Q4_0 Q5_0 Q8_0 TQ1_0")]
    [InlineData(38, 38, "MXFP4", true)]
    public void ModelsInWhichTheEngineMixesTypesAreReadWhole(int fileType, int mostly, string types, bool pure = false)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string source = RandomModel(), path = _folder.File("mixed.gguf"), copy = _folder.File("copy.gguf");
        engine.Quantize(source, path, fileType, pure, threads: 1, importance: Importance(source));
        using GgufCheckpoint checkpoint = GgufCheckpoint.Open(path);
        GgufFile file = checkpoint.File;
        GgufTensor[] blocks = [.. file.Tensors.Values.Where(tensor => tensor.Type != GgmlType.F32)];
        Assert.Equal(types, string.Join(' ', blocks.Select(tensor => tensor.Type.ToString()).Distinct().Order(StringComparer.Ordinal)));
        foreach (GgufTensor tensor in blocks.Some())
        {
            float[] expected = new float[tensor.ElementCount], actual = new float[tensor.ElementCount];
            engine.Dequantize(Function(tensor.Type), file.GetBytes(tensor.Name, 0, (int)tensor.ByteLength), expected);
            file.ReadSingles(tensor.Name, actual);
            AssertBits(expected, actual);
        }

        // The engine rounds the inputs of quantized layers to 8 bits.
        using var device = new CpuDevice();
        using var own = new CausalModel(CheckpointOpener.Open(path), device);
        int[] ids = [.. Enumerable.Range(0, 32).Select(i => i * 7 % Vocabulary)];
        using (LlamaModel model = engine.Open(path))
        using (LlamaContext context = model.CreateContext(exact: true))
        {
            double error = ForwardTrace.RelativeError(context.Logits(ids), ForwardTrace.Of(own, ids).Logits);
            TestContext.Current.TestOutputHelper?.WriteLine($"{types}: logits {error:g3}");
            Assert.InRange(error, 0, 0.05);
        }

        // Blocks that are not written are passed on as they are.
        GgufExporter.Write(checkpoint, copy, new GgufExportOptions { WithoutTokenizer = true }, cancellation: TestContext.Current.CancellationToken);
        using GgufFile passed = GgufFile.Open(copy);
        Assert.Equal(mostly, passed.Metadata.GetInt64("general.file_type"));
        foreach (GgufTensor tensor in blocks)
        {
            Assert.Equal(tensor.Type, passed.Tensors[tensor.Name].Type);
            Assert.Equal(file.GetBytes(tensor.Name, 0, (int)tensor.ByteLength), passed.GetBytes(tensor.Name, 0, (int)tensor.ByteLength));
        }
    }

    private static Dictionary<string, float[]> Importance(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        return file.Tensors.Values.Where(tensor => tensor.Shape.Length == 2)
            .ToDictionary(tensor => tensor.Name, tensor => Enumerable.Range(0, (int)tensor.Shape[1]).Select(i => 1f + (i % 5)).ToArray());
    }

    /// <summary>A model of the llama architecture with rows of 288, which K blocks and codebooks of 256 do not divide, and of 512.</summary>
    private string RandomModel()
    {
        const int Hidden = 288, Intermediate = 512, KeyValue = 96, Layers = 4;
        string path = _folder.File("source.gguf");
        if (File.Exists(path)) return path;
        KeyValuePair<string, GgufValue>[] metadata =
        [
            new("general.architecture", GgufValue.Of("llama")), new("llama.vocab_size", GgufValue.Of((uint)Vocabulary)), new("llama.context_length", GgufValue.Of(128u)),
            new("llama.embedding_length", GgufValue.Of((uint)Hidden)), new("llama.block_count", GgufValue.Of((uint)Layers)),
            new("llama.feed_forward_length", GgufValue.Of((uint)Intermediate)), new("llama.attention.head_count", GgufValue.Of(9u)),
            new("llama.attention.head_count_kv", GgufValue.Of(3u)), new("llama.attention.layer_norm_rms_epsilon", GgufValue.Of(1e-5f)),
            new("tokenizer.ggml.model", GgufValue.Of("none")),
        ];
        var random = new SeededRandom(23);
        List<PendingGgufTensor> tensors = [Matrix("token_embd", Vocabulary, Hidden), Norm("output_norm"), Matrix("output", Vocabulary, Hidden)];
        for (int i = 0; i < Layers; i++)
        {
            tensors.AddRange(
            [
                Norm($"blk.{i}.attn_norm"), Matrix($"blk.{i}.attn_q", Hidden, Hidden), Matrix($"blk.{i}.attn_k", KeyValue, Hidden), Matrix($"blk.{i}.attn_v", KeyValue, Hidden),
                Matrix($"blk.{i}.attn_output", Hidden, Hidden), Norm($"blk.{i}.ffn_norm"), Matrix($"blk.{i}.ffn_gate", Intermediate, Hidden),
                Matrix($"blk.{i}.ffn_up", Intermediate, Hidden), Matrix($"blk.{i}.ffn_down", Hidden, Intermediate),
            ]);
        }
        GgufWriter.Write(path, metadata, tensors, TestContext.Current.CancellationToken);
        return path;

        PendingGgufTensor Norm(string name) => PendingGgufTensor.FromSingles(name + ".weight", GgmlType.F32, [Hidden], [.. Enumerable.Repeat(1f, Hidden)]);

        PendingGgufTensor Matrix(string name, int rows, int columns) => PendingGgufTensor.FromSingles(
            name + ".weight", GgmlType.F32, [rows, columns], [.. Enumerable.Range(0, rows * columns).Select(_ => 0.05f * (float)random.NextGaussian())]);
    }

    private float[] Same(LlamaEngine engine, GgmlType type, byte[] blocks)
    {
        int count = blocks.Length / type.Block().Bytes * type.Block().Elements;
        float[] expected = new float[count], actual = new float[count];
        engine.Dequantize(Function(type), blocks, expected);
        string path = _folder.File("a.gguf");
        GgufWriter.Write(path, [], [new PendingGgufTensor("w", type, [count], sink => sink.Write(blocks))], TestContext.Current.CancellationToken);
        using GgufFile file = GgufFile.Open(path);
        file.ReadSingles("w", actual);
        AssertBits(expected, actual);
        return actual;
    }

    private static void AssertBits(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(BitConverter.SingleToInt32Bits(expected[i]), BitConverter.SingleToInt32Bits(actual[i]));
    }

    // ggml's functions are named in lower case, but for the K.
    private static string Function(GgmlType type) => type.ToString().ToLowerInvariant().Replace("_k", "_K", StringComparison.Ordinal);
}
