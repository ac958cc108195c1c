using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Export;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Quantization.Transforms.Rotation;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.Transforms;

/// <summary>Hadamard rotations: the matrices, whole models whose stream and values are rotated, and models that are refused.</summary>
public sealed class RotationTests
{
    [Theory]
    [InlineData(1, "Hadamard 1 (Sylvester)")]
    [InlineData(2, "Hadamard 2 (Sylvester)")]
    [InlineData(64, "Hadamard 64 (Sylvester)")]
    [InlineData(12, "Hadamard 12 (Paley 12 x Sylvester 1)")]
    [InlineData(20, "Hadamard 20 (Paley 20 x Sylvester 1)")]
    [InlineData(28, "Hadamard 28 (Paley 28 x Sylvester 1)")]
    [InlineData(36, "Hadamard 36 (Paley 36 x Sylvester 1)")]
    [InlineData(60, "Hadamard 60 (Paley 60 x Sylvester 1)")]
    [InlineData(96, "Hadamard 96 (Paley 12 x Sylvester 8)")]
    [InlineData(576, "Hadamard 576 (Paley 36 x Sylvester 16)")]
    [InlineData(720, "Hadamard 720 (Paley 180 x Sylvester 4)")]
    [InlineData(896, "Hadamard 896 (Paley 28 x Sylvester 32)")]
    [InlineData(92, "23 blocks of Hadamard 4 (Sylvester)")]
    [InlineData(6, "3 blocks of Hadamard 2 (Sylvester)")]
    [InlineData(7, "7 blocks of Hadamard 1 (Sylvester)")]
    public void TheMatrixIsOrthogonalWithElementsOfOneSize(int size, string form)
    {
        var rotation = new HadamardRotation(size, 5, 1);
        Assert.Equal(form, rotation.Form);
        double[] matrix = MatrixOf(rotation);
        double worst = 0;
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++)
            {
                double sum = 0;
                for (int k = 0; k < size; k++) sum += matrix[(i * size) + k] * matrix[(j * size) + k];
                worst = Math.Max(worst, Math.Abs(sum - (i == j ? 1 : 0)));
            }
        }
        Assert.True(worst < 1e-12, $"{worst}");
        // A Hadamard matrix: 1 or -1 over the root of its order; beside the diagonal blocks 0.
        int order = form.Contains("blocks", StringComparison.Ordinal) ? size & -size : size;
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++) Assert.Equal(i / order == j / order ? 1 / Math.Sqrt(order) : 0, Math.Abs(matrix[(i * size) + j]), 1e-13);
        }
    }

    [Fact]
    public void BothConstructionsOfPaleyAreHadamardMatrices()
    {
        int[] orders = [.. Enumerable.Range(1, 64).Select(i => 4 * i).Where(order => PaleyMatrix.OfOrder(order) is not null)];
        Assert.Superset(new HashSet<int> { 4, 8, 12, 20, 24, 28, 32, 36, 44, 48, 60, 68, 72, 76, 80, 84, 104, 108, 124, 128, 132, 140, 148, 152, 164, 168, 180, 192, 200, 212, 220, 224, 228, 240 }, new HashSet<int>(orders));
        Assert.DoesNotContain(92, orders);
        foreach (int order in orders)
        {
            PaleyMatrix matrix = PaleyMatrix.OfOrder(order)!;
            for (int i = 0; i < order; i++)
            {
                for (int j = 0; j <= i; j++) Assert.Equal(i == j ? order : 0, Enumerable.Range(0, order).Sum(k => matrix[i, k] * matrix[j, k]));
            }
        }
    }

    [Fact]
    public void SignsDependOnSeedAndPathAndLanesAreVectors()
    {
        double[] first = MatrixOf(new HadamardRotation(96, 3, 1)), again = MatrixOf(new HadamardRotation(96, 3, 1));
        Assert.Equal(first, again);
        Assert.NotEqual(first, MatrixOf(new HadamardRotation(96, 4, 1)));
        Assert.NotEqual(first, MatrixOf(new HadamardRotation(96, 3, 2)));
        SeededRandom random = SeededRandom.Derive(1);
        const int lanes = 5;
        double[] many = [.. Enumerable.Range(0, 96 * lanes).Select(_ => random.NextGaussian())], before = [.. many];
        var rotation = new HadamardRotation(96, 3, 1);
        rotation.Apply(many, lanes);
        for (int lane = 0; lane < lanes; lane++)
        {
            double[] one = [.. Enumerable.Range(0, 96).Select(i => before[(i * lanes) + lane])];
            rotation.Apply(one, 1);
            for (int i = 0; i < 96; i++) Assert.Equal(one[i], many[(i * lanes) + lane]);
        }
    }

    [Theory]
    [InlineData("models/llama_bias")]
    [InlineData("models/qwen3")]
    [InlineData("models/gemma")]
    [InlineData("models/granite")]
    [InlineData("models/smollm3")]
    [InlineData("models/phi3")]
    [InlineData("models/qwen3_moe")]
    [InlineData("models/mixtral")]
    [InlineData("models2/qwen2_moe")]
    [InlineData("models2/gpt_oss")]
    [InlineData("models2/llama4_text")]
    [InlineData("models2/mimo_v2_flash")]
    [InlineData("models2/ernie4_5_moe")]
    [InlineData("models2/apertus")]
    public void RotatedModelsGiveTheSameLogits(string name)
    {
        using var lab = new TransformLab(name);
        float[][] before = lab.Run(lab.Model, lab.Blocks(lab.Model));
        var rotation = new RotationTransform(lab.Model, new RotationOptions { Seed = 11 });
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        ChangedTensors changes = rotation.Vocabulary();
        foreach (IDecoderBlock block in blocks)
        {
            BlockTransformResult result = rotation.Apply(new BlockTransformContext { Block = block });
            Assert.Equal(block.Folds.Sites.Count(site => site.Kind == FoldKind.Values), result.Sites.Count);
            Assert.Equal(1 - result.Sites.Count, result.Refused.Count);
            changes.Add(block.Changes(weights: true));
        }
        using InputEmbedding embedding = rotation.LoadEmbedding();
        using OutputHead head = rotation.LoadHead();
        float[][] after = lab.Run(lab.Model, blocks, embedding, head);
        int width = lab.Model.Config.HiddenSize;
        for (int i = 0; i < before.Length - 1; i++)
        {
            // The stream is rotated, no less.
            float[] rotated = [.. before[i]];
            for (int row = 0; row < rotated.Length / width; row++)
            {
                double[] vector = [.. rotated.AsSpan(row * width, width).ToArray().Select(value => (double)value)];
                rotation.Stream!.Apply(vector, 1);
                for (int c = 0; c < width; c++) rotated[(row * width) + c] = (float)vector[c];
            }
            Assert.True(TransformLab.Relative(rotated, after[i]) < 5e-6, $"stream {i} differs by {TransformLab.Relative(rotated, after[i])}");
            Assert.True(TransformLab.Relative(before[i], after[i]) > 0.5);
        }
        double difference = TransformLab.Relative(before[^1], after[^1]);
        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: logits differ by {difference:G3}");
        Assert.True(difference < 5e-6, $"logits differ by {difference}");
        CheckStored(lab, changes, after);
    }

    // As a folder that is written and opened again; a tied head is one no longer.
    private static void CheckStored(TransformLab lab, ChangedTensors changes, float[][] expected)
    {
        string output = lab.File("rotated");
        Assert.Contains(lab.Model.EmbeddingName, changes.Names);
        Assert.Contains(lab.Model.HeadName, changes.Names);
        using (var changed = new ChangedCheckpoint(lab.Checkpoint(), changes)) DenseExporter.Write(changed, output, SafetensorsType.F32, long.MaxValue, null, TestContext.Current.CancellationToken);
        CausalModel written = lab.OpenAsIs(CheckpointOpener.Open(output));
        Assert.False(written.Config.TiedEmbeddings);
        float[][] again = lab.Run(written, lab.Blocks(written));
        for (int i = 0; i < expected.Length; i++) Assert.True(expected[i].AsSpan().SequenceEqual(again[i]), $"stream {i} of the written model differs by {TransformLab.Relative(expected[i], again[i])}");
        using OutputHead head = written.LoadHead();
        string norm = changes.Names.Single(name => !name.StartsWith(written.Architecture.Blocks, StringComparison.Ordinal) && name != written.EmbeddingName && name != written.HeadName);
        float[] ones = written.Checkpoint.ReadFor(norm, SafetensorsType.F32);
        // As stored: 1, or 0 of a norm that applies 1 + w.
        Assert.All(ones, value => Assert.Equal(written.Config.ModelType.StartsWith("gemma", StringComparison.Ordinal) ? 0 : 1, value));
    }

    [Theory]
    [InlineData("tinystories-656k")]
    [InlineData("smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf")]
    public void RealModelsGiveTheSameLogits(string name)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        using var model = new CausalModel(CheckpointOpener.Open(TestData.Path(["models", .. name.Split('/')])), device);
        int[] ids = [.. Enumerable.Range(0, 48).Select(i => ((i * 37) + (i * i * 11) + 3) % model.Config.VocabularySize)];
        float[] before = Logits(model, ids, null);
        var rotation = new RotationTransform(model, new RotationOptions { Seed = 1 });
        float[] after = Logits(model, ids, rotation);
        double difference = TransformLab.Relative(before, after);
        TestContext.Current.TestOutputHelper?.WriteLine($"{name}, {rotation.Stream!.Form}: logits differ by {difference:G3}");
        Assert.True(difference < 2e-5, $"logits differ by {difference}");
        Assert.NotEqual(before, after);
        Assert.Equal(after, Logits(model, ids, new RotationTransform(model, new RotationOptions { Seed = 1 })));
    }

    [Theory]
    [InlineData("models/gpt2", "the embedding adds positions")]
    [InlineData("models/bloom", "a norm stands behind the embedding")]
    [InlineData("models/phi", "the norm in front of the head subtracts the mean")]
    [InlineData("models/cohere2", "the norm in front of the head subtracts the mean")]
    [InlineData("models/gemma2", "block 0: model.layers.0.post_attention_layernorm.weight stands behind a part of the block")]
    [InlineData("models/olmo2", "block 0: model.layers.0.post_attention_layernorm.weight stands behind a part of the block")]
    [InlineData("models2/glm4", "block 0: model.layers.0.post_self_attn_layernorm.weight stands behind")]
    [InlineData("models2/gemma4_text", "the embedding also makes the blocks' own inputs")]
    public void OtherModelsAreRefusedByName(string name, string reason)
    {
        using var lab = new TransformLab(name);
        string message = Assert.Throws<TransformException>(() => new RotationTransform(lab.Model, new RotationOptions())).Message;
        Assert.Contains(reason, message, StringComparison.Ordinal);
        Assert.Contains(lab.Model.Config.ModelType, message, StringComparison.Ordinal);
        foreach (IDecoderBlock block in lab.Blocks(lab.Model).Where(block => block.Folds.RotationObstacle is not null))
        {
            Assert.Throws<InvalidOperationException>(() => block.Folds.RotateStream(new HadamardRotation(lab.Model.Config.HiddenSize, 0)));
            Assert.Empty(block.Changes(weights: true).Names);
        }
    }

    public static TheoryData<string> Cases => [.. FamilyModels.Cases];

    [Theory]
    [MemberData(nameof(Cases))]
    public void ValuesAloneAreRotatedInEveryFamily(string name)
    {
        using var lab = new TransformLab(name);
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        float[][] before = lab.Run(lab.Model, blocks);
        var rotation = new RotationTransform(lab.Model, new RotationOptions { Seed = 3, Stream = false });
        Assert.Empty(rotation.Vocabulary().Names);
        foreach (IDecoderBlock block in blocks)
        {
            float[][] weights = [.. block.Slots.Select(slot => slot.WeightValues())];
            BlockTransformResult result = rotation.Apply(new BlockTransformContext { Block = block });
            // One for every part that mixes positions: none in a layer that is an MLP, two where attention and a recurrence stand side by side.
            Assert.Equal(block.StateSize == default ? 0 : name == "hybrids/falcon_h1" ? 2 : 1, result.Sites.Count + result.Refused.Count);
            // Values and outputs, and nothing else.
            HashSet<string> changed = [.. result.Sites.SelectMany(site => site.Readers.Append(site.Source))];
            for (int i = 0; i < weights.Length; i++) Assert.Equal(!changed.Contains(block.Slots[i].Name), weights[i].AsSpan().SequenceEqual(block.Slots[i].WeightValues()));
        }
        float[][] after = lab.Run(lab.Model, blocks);
        TransformLab.AssertSameButForRounding(before, after);
    }

    [Fact]
    public void EmbeddingAndHeadHaveTheDigitsThatAreStored()
    {
        using var lab = new TransformLab("models/qwen3");
        var rotation = new RotationTransform(lab.Model, new RotationOptions { Seed = 1 }) { StoredRounding = (_, value) => StorageScale.RoundAny(value, ScaleType.BFloat16) };
        ChangedTensors changes = rotation.Vocabulary(), exact = new RotationTransform(lab.Model, new RotationOptions { Seed = 1 }).Vocabulary();
        Assert.Equal(exact.Names, changes.Names);
        foreach (string name in changes.Names) Assert.Equal(Array.ConvertAll(exact.Read(name), value => StorageScale.RoundAny(value, ScaleType.BFloat16)), changes.Read(name));
        using InputEmbedding embedding = rotation.LoadEmbedding();
        Assert.Equal(changes.Read(lab.Model.EmbeddingName), embedding.Table.ToArray());
    }

    [Fact]
    public void TheNumberOfThreadsChangesNoByte()
    {
        float[][] one = Rotated(1), two = Rotated(2);
        Assert.Equal(one, two);

        static float[][] Rotated(int threads)
        {
            using var folder = new TemporaryFolder();
            FamilyModels.Write("models/qwen2", folder.Path);
            using var device = new CpuDevice(new CpuDeviceOptions { Threads = threads });
            using var model = new CausalModel(CheckpointOpener.Open(folder.Path), device);
            using IDecoderBlock block = model.LoadBlock(1);
            new RotationTransform(model, new RotationOptions { Seed = 9 }).Apply(new BlockTransformContext { Block = block });
            ChangedTensors changes = block.Changes(weights: true);
            return [.. changes.Names.Select(changes.Read)];
        }
    }

    private static float[] Logits(CausalModel model, int[] ids, RotationTransform? rotation)
    {
        using InputEmbedding embedding = rotation?.LoadEmbedding() ?? model.LoadEmbedding();
        using OutputHead head = rotation?.LoadHead() ?? model.LoadHead();
        using Tensor x = model.Device.Empty(ids.Length, model.Config.HiddenSize);
        embedding.Embed(ids, x);
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            rotation?.Apply(new BlockTransformContext { Block = block });
            using var tape = new Numerics.Autograd.Tape(model.Device, recording: false);
            model.Device.Kernels.Copy(block.Forward(tape, new Numerics.Autograd.Variable(x), new SequenceShape(1, ids.Length)).Value, x);
        }
        using var last = new Numerics.Autograd.Tape(model.Device, recording: false);
        return head.Logits(last, new Numerics.Autograd.Variable(x)).Value.ToArray();
    }

    // Rows are images of unit vectors.
    private static double[] MatrixOf(HadamardRotation rotation)
    {
        var matrix = new double[rotation.Size * rotation.Size];
        for (int i = 0; i < rotation.Size; i++)
        {
            Span<double> row = matrix.AsSpan(i * rotation.Size, rotation.Size);
            row[i] = 1;
            rotation.Apply(row, 1);
        }
        return matrix;
    }
}
