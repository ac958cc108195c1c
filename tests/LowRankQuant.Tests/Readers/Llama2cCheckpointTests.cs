using System.Buffers.Binary;
using System.Text.Json;

namespace LowRankQuant.Tests.Readers;

public class Llama2cCheckpointTests
{
    private static Llama2cCheckpoint Open(string model) => Llama2cCheckpoint.Load(
        model == "stories260K" ? TestData.Path("models", model, "stories260K.bin") : TestData.Path("models", model, "model5000.bin"));

    [Theory]
    [InlineData("stories260K", 64, 172, 512, 512)]
    [InlineData("babyllama-tok105", 128, 352, 105, 256)]
    [InlineData("babyllama-tok361", 128, 352, 361, 256)]
    public void ShapesFollowTheHeaderAndTheFileIsUsedUp(string name, int hidden, int intermediate, int vocabulary, int positions)
    {
        Llama2cCheckpoint model = Open(name);
        Assert.Equal((hidden, intermediate, 5, 8, 4), (model.HiddenSize, model.IntermediateSize, model.Layers, model.Heads, model.KeyValueHeads));
        Assert.Equal((vocabulary, positions, true, 0), (model.VocabularySize, model.MaxPositions, model.Tied, model.UnreadFloats));
        Assert.Equal(2 + (5 * 9), model.Tensors.Count);
        Assert.False(model.Tensors.ContainsKey("lm_head.weight"));
        Assert.Equal([hidden / 2, hidden], model.Tensors["model.layers.4.self_attn.k_proj.weight"].Shape);
        Assert.Equal([hidden, intermediate], model.Tensors["model.layers.0.mlp.down_proj.weight"].Shape);
        Assert.Equal([hidden], model.Tensors["model.norm.weight"].Shape);
        foreach ((string key, NamedTensor tensor) in model.Tensors)
        {
            Assert.Equal(tensor.Shape.Aggregate(1, (product, size) => product * size), tensor.Values.Length);
            Assert.All(tensor.Values, value => Assert.True(float.IsFinite(value), key));
            Assert.True(tensor.Values.Distinct().Count() > tensor.Values.Length / 2, key);
        }
    }

    [Theory]
    [InlineData("stories260K")]
    [InlineData("babyllama-tok105")]
    public void TheRotaryTablesAreThoseOfBase10000(string name)
    {
        // They lie behind all weights, so they are right only if every tensor before them had the right size.
        Llama2cCheckpoint model = Open(name);
        int half = model.HeadSize / 2;
        for (int i = 0; i < model.RotaryCosines.Length; i++)
        {
            double angle = i / half * Math.Pow(Llama2cCheckpoint.RopeTheta, -(double)(i % half) / half);
            Assert.Equal(Math.Cos(angle), model.RotaryCosines[i], 1e-4);
            Assert.Equal(Math.Sin(angle), model.RotarySines[i], 1e-4);
        }
    }

    [Theory]
    [InlineData("stories260K")]
    [InlineData("babyllama-tok105")]
    public void AHalfSplitModelReproducesTheReferenceLogits(string name)
    {
        Llama2cCheckpoint model = Open(name);
        ReferenceTensors golden = new(TestData.Path("golden", "lrq", $"model-{name}.safetensors"));
        int[] ids = golden.Read<int>("eval_ids");
        float[] expected = golden.Read<float>("logits"), losses = golden.Read<float>("eval_window_nll");
        PlainLlama plain = new(model);
        double[][] logits = plain.Logits(ids.AsSpan(128, 64));
        for (int i = 0; i < 64 * model.VocabularySize; i++)
            Assert.Equal(expected[(64 * model.VocabularySize) + i], logits[i / model.VocabularySize][i % model.VocabularySize], 5e-5);
        Assert.Equal(losses[0], plain.MeanLoss(ids.AsSpan(0, 128)), 1e-5);
    }

    [Fact]
    public void TheConfigIsReadableAndAgrees()
    {
        using JsonDocument config = JsonDocument.Parse(Parse(vocabulary: 6).ConfigJson);
        Assert.Equal(8, config.RootElement.GetProperty("hidden_size").GetInt32());
        Assert.Equal(1e-5, config.RootElement.GetProperty("rms_norm_eps").GetDouble(), 1e-12);
        Assert.True(config.RootElement.GetProperty("tie_word_embeddings").GetBoolean());
    }

    [Fact]
    public void ANegativeVocabularyMeansAnOwnHead()
    {
        Llama2cCheckpoint tied = Parse(vocabulary: 6), untied = Parse(vocabulary: -6);
        Assert.True(tied.Tied);
        Assert.False(untied.Tied);
        Assert.Equal(6, untied.VocabularySize);
        NamedTensor head = untied.Tensors["lm_head.weight"];
        Assert.Equal([6, 8], head.Shape);
        Assert.Equal(FloatCount(true) + (6 * 8) - 1, head.Values[^1]);
        Assert.Equal(0, untied.UnreadFloats);
    }

    [Fact]
    public void RowsOfRotatedHeadsAreReorderedAndOthersAreNot()
    {
        // Values count upwards from 0, so a row is known by its first value. Embedding 6 x 8, norm 8, then wq: heads of 4 rows.
        Llama2cCheckpoint model = Parse(vocabulary: 6);
        float[] q = model.Tensors["model.layers.0.self_attn.q_proj.weight"].Values;
        float[] v = model.Tensors["model.layers.0.self_attn.v_proj.weight"].Values;
        Assert.Equal([0, 2, 1, 3, 4, 6, 5, 7], Enumerable.Range(0, 8).Select(row => (int)(q[row * 8] - 56) / 8));
        Assert.Equal([0, 1, 2, 3], Enumerable.Range(0, 4).Select(row => (int)(v[row * 8] - 56 - 64 - 32) / 8));
    }

    [Theory]
    [InlineData(-4)]
    [InlineData(4)]
    public void AFileOfAnotherLengthIsRefused(int change)
    {
        byte[] file = Synthetic(6);
        Array.Resize(ref file, file.Length + change);
        Assert.Throws<InvalidDataException>(() => Llama2cCheckpoint.Parse(file));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(3, 3)]
    [InlineData(2, int.MaxValue)]
    [InlineData(5, int.MinValue + 1)]
    public void AHeaderThatMakesNoSenseIsRefused(int field, int value)
    {
        byte[] file = Synthetic(6);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(4 * field), value);
        Assert.Throws<InvalidDataException>(() => Llama2cCheckpoint.Parse(file));
    }

    private static Llama2cCheckpoint Parse(int vocabulary) => Llama2cCheckpoint.Parse(Synthetic(vocabulary));

    // dim 8, hidden 12, 1 layer, 2 heads, 1 key/value head, 3 positions.
    private static int FloatCount(bool tied) => 48 + 8 + 64 + 32 + 32 + 64 + 8 + (3 * 96) + 8 + 12 + (tied ? 0 : 48);

    private static byte[] Synthetic(int vocabulary)
    {
        int floats = FloatCount(vocabulary > 0);
        byte[] file = new byte[28 + (4 * floats)];
        int[] header = [8, 12, 1, 2, 1, vocabulary, 3];
        for (int i = 0; i < 7; i++) BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(4 * i), header[i]);
        for (int i = 0; i < floats; i++) BinaryPrimitives.WriteSingleLittleEndian(file.AsSpan(28 + (4 * i)), i);
        return file;
    }
}
