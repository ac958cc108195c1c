using System.Text;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Sources;

/// <summary>GGUF files whose tensors are not those that their metadata ask for.</summary>
public sealed class GgufStructureTests
{
    [Theory]
    [InlineData("blk.3.attn_norm.weight", "blk.9.attn_norm.weight", "holds 5 blocks ('blk.9' among them), and llama.block_count is 4")]
    [InlineData("blk.2.attn_q.weight", "blk.2.attn_x.weight", "tensor 'blk.2.attn_q.weight' is absent")]
    [InlineData("output_norm.weight", "output_nose.weight", "tensor 'output_norm.weight' is absent")]
    public void SurplusAndMissingTensorsAreRefusedByName(string from, string to, string message)
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("m.gguf");
        DemoGguf.Write(file);
        byte[] bytes = File.ReadAllBytes(file);
        Encoding.ASCII.GetBytes(to).CopyTo(bytes, bytes.AsSpan().IndexOf(Encoding.ASCII.GetBytes(from)));
        File.WriteAllBytes(file, bytes);
        Assert.Contains(message, Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(file)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ABlockThatIsMissingIsRefusedWithBothNumbers()
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("m.gguf");
        DemoGguf.Write(file);
        byte[] bytes = File.ReadAllBytes(file);
        ReadOnlySpan<byte> key = "llama.block_count"u8;
        // After the key its type, 4 bytes, and the value.
        bytes[bytes.AsSpan().IndexOf(key) + key.Length + 4] = 6;
        File.WriteAllBytes(file, bytes);
        Assert.Contains(
            "tensors of 'blk.4' are absent: the file holds 4 blocks, and llama.block_count is 6",
            Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(file)).Message, StringComparison.Ordinal);
    }
}
