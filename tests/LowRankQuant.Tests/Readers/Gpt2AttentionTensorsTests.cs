namespace LowRankQuant.Tests.Readers;

public class Gpt2AttentionTensorsTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(12)]
    public void ValuesLookLikeAnAttentionLayer(int layer)
    {
        Gpt2AttentionTensors tensors = Gpt2AttentionTensors.Load(TestData.Path("models", "gpt2-small-attn"), layer);
        foreach (NamedTensor weight in new[] { tensors.Query, tensors.Key, tensors.Value, tensors.Projection })
        {
            Assert.Equal([768, 768], weight.Shape);
            // Read in the wrong byte order these would spread over the whole range of exponents.
            double rms = Math.Sqrt(weight.Values.Average(value => (double)value * value));
            Assert.InRange(rms, 0.03, 0.3);
            Assert.InRange(weight.Values.Max(Math.Abs), 0.3, 10);
        }
        Assert.Equal(3072, tensors.MlpFirstBias.Length);
        Assert.All(tensors.AttentionNormWeight.Concat(tensors.MlpNormWeight), value => Assert.InRange(value, -0.5f, 5f));
    }

    [Fact]
    public void MatricesAreHandedOutByOutput()
    {
        string root = TestData.Path("models", "gpt2-small-attn");
        byte[] file = File.ReadAllBytes(Path.Combine(root, "decoder1", "att.query.w.dat"));
        // Input 2, output 5 in the file's order.
        float expected = System.Buffers.Binary.BinaryPrimitives.ReadSingleBigEndian(file.AsSpan(4 * ((2 * 768) + 5)));
        Assert.Equal(expected, Gpt2AttentionTensors.Load(root, 1).Query.Values[(5 * 768) + 2]);
    }
}
