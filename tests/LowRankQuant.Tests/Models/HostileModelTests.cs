using System.Text;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Tests.Formats;

namespace LowRankQuant.Tests.Models;

/// <summary>Numbers in models' metadata that fuzzing found to end in a crash or not at all.</summary>
public class HostileModelTests
{
    private const uint UInt32 = 4, Float32 = 6, Text = 8, Array = 9;

    [Theory]
    [InlineData("llama.block_count", UInt32, 14_811_137)] // names of every block's tensors: minutes
    [InlineData("llama.block_count", UInt32, 16_385)]
    [InlineData("tokenizer.ggml.bos_token_id", UInt32, 2_147_483_648)]
    [InlineData("tokenizer.ggml.eos_token_id", UInt32, 4_000_000_000)]
    [InlineData("llama.rope.freq_base", Float32, double.NaN)]
    [InlineData("llama.rope.freq_base", Float32, double.PositiveInfinity)]
    [InlineData("llama.attention.layer_norm_rms_epsilon", Float32, double.NegativeInfinity)]
    [InlineData("llama.rope.scaling.factor", Float32, double.NaN)]
    public void ANumberBeyondReasonIsRefusedByName(string key, uint type, double value)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model.gguf");
        File.WriteAllBytes(path, Model((key, type, type == Float32 ? BitConverter.GetBytes((float)value) : BitConverter.GetBytes((uint)value))));
        Exception refusal = Assert.ThrowsAny<Exception>(() =>
        {
            using ICheckpoint model = CheckpointOpener.Open(path);
            model.LoadTokenizer();
        });
        Assert.True(refusal is CheckpointException or CheckpointFormatException, refusal.ToString());
        string name = key == "llama.block_count" ? "num_hidden_layers" : key.Split('.')[^1];
        Assert.Contains(name, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refusal.Message);
    }

    [Fact]
    public void AnEmbeddingWithoutDimensionsIsNoCrashOfTheVocabulary()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model.gguf");
        var builder = new GgufBuilder();
        foreach ((string key, uint type, byte[] value) in Keys()) builder.Key(key, type, value);
        File.WriteAllBytes(path, builder.Tensor("token_embd.weight", 0, [], new byte[4]).Build());
        using GgufFile file = GgufFile.Open(path);
        Assert.DoesNotContain(GgufVocabularyReader.Warnings(file), warning => warning.Contains("rows", StringComparison.Ordinal));
    }

    private static byte[] Model((string Key, uint Type, byte[] Value) other)
    {
        var builder = new GgufBuilder();
        foreach ((string key, uint type, byte[] value) in Keys().Where(pair => pair.Key != other.Key).Append(other)) builder.Key(key, type, value);
        return builder.Tensor("token_embd.weight", 0, [32, 3], new byte[384]).Build();
    }

    private static IEnumerable<(string Key, uint Type, byte[] Value)> Keys() =>
    [
        ("general.architecture", Text, Bytes("llama")), ("llama.block_count", UInt32, BitConverter.GetBytes(1)), ("llama.context_length", UInt32, BitConverter.GetBytes(64)),
        ("llama.embedding_length", UInt32, BitConverter.GetBytes(32)), ("llama.feed_forward_length", UInt32, BitConverter.GetBytes(32)),
        ("llama.attention.head_count", UInt32, BitConverter.GetBytes(2)), ("llama.attention.layer_norm_rms_epsilon", Float32, BitConverter.GetBytes(1e-5f)),
        ("llama.vocab_size", UInt32, BitConverter.GetBytes(3)), ("llama.rope.scaling.type", Text, Bytes("linear")), ("llama.rope.scaling.factor", Float32, BitConverter.GetBytes(2f)),
        ("tokenizer.ggml.model", Text, Bytes("gpt2")), ("tokenizer.ggml.pre", Text, Bytes("gpt-2")),
        ("tokenizer.ggml.tokens", Array, [.. BitConverter.GetBytes(Text), .. BitConverter.GetBytes(3L), .. Bytes("a"), .. Bytes("b"), .. Bytes("ab")]),
        ("tokenizer.ggml.merges", Array, [.. BitConverter.GetBytes(Text), .. BitConverter.GetBytes(1L), .. Bytes("a b")]),
    ];

    private static byte[] Bytes(string text) => [.. BitConverter.GetBytes((long)text.Length), .. Encoding.UTF8.GetBytes(text)];
}
