using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Tests.Models;

/// <summary>Logits, hidden states and NLL of the reference checkpoints, with the tolerances stated beside them.</summary>
public sealed class GoldenModelTests
{
    public static TheoryData<string> LlamaCases =>
    [
        "llama_mha", "llama_gqa_sharded", "llama_mqa_fp32", "llama_tied", "llama_head_dim", "llama_bias", "llama_rope_llama3", "llama_rope_linear",
        "llama_rope_dynamic", "llama_rope_yarn", "llama_rope_yarn_mscale",
    ];

    [Theory]
    [MemberData(nameof(LlamaCases))]
    public void ForwardPassMatchesTheReference(string name)
    {
        string folder = TestData.Path("golden", "models", name);
        using SafetensorsFile golden = SafetensorsFile.Open(folder + ".safetensors");
        using var device = new CpuDevice();
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(folder), device);
        foreach (string text in new[] { "a", "b" }) Check(model, golden, text);
    }

    [Theory]
    [MemberData(nameof(LlamaCases))]
    public void BothStylesOfConfigurationMeanTheSame(string name)
    {
        string folder = TestData.Path("golden", "models", name);
        using var copy = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(folder)) File.Copy(file, Path.Combine(copy.Path, Path.GetFileName(file)));
        File.Copy(Path.Combine(folder, "config.v5.json"), Path.Combine(copy.Path, "config.json"), overwrite: true);
        using HuggingFaceCheckpoint old = HuggingFaceCheckpoint.Open(folder), current = HuggingFaceCheckpoint.Open(copy.Path);
        Assert.Equivalent(old.Config, current.Config, strict: true);
    }

    private static void Check(CausalModel model, SafetensorsFile golden, string text)
    {
        long[] stored = new long[golden.Tensors[$"{text}.ids"].ElementCount];
        golden.Read($"{text}.ids", stored.AsSpan());
        int[] ids = [.. stored.Select(id => (int)id)];
        int batch = (int)golden.ShapeOf($"{text}.ids")[0], length = ids.Length / batch;
        using var tape = new Tape(model.Device, recording: false);
        Tensor x = tape.Rent(ids.Length, model.Config.HiddenSize);
        using (InputEmbedding embedding = model.LoadEmbedding()) embedding.Embed(ids, x);
        float[] hidden = Singles(golden, $"{text}.hidden");
        int size = hidden.Length / (model.Config.Layers + 1);
        var state = new Variable(x);
        AssertClose(hidden.AsSpan(0, size), state.Value.Span, 1e-5, "input of block 0");
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            state = block.Forward(tape, state, new SequenceShape(batch, length));
            AssertClose(hidden.AsSpan((i + 1) * size, size), state.Value.Span, 1e-5, $"output of block {i}");
        }
        using OutputHead head = model.LoadHead();
        Tensor logits = head.Logits(tape, state).Value;
        float[] expected = Singles(golden, $"{text}.logits");
        AssertClose(expected, logits.Span, 1e-5, "logits");
        Assert.True(LargestDifference(expected, logits.Span) < 2e-4);
        double[] nll = new double[batch];
        golden.Read($"{text}.nll", nll.AsSpan());
        for (int b = 0; b < batch; b++) Assert.Equal(nll[b], MeanNll(model.Device, logits, ids, b, length), 1e-5);
    }

    private static double MeanNll(Device device, Tensor logits, int[] ids, int sequence, int length)
    {
        using Tensor losses = device.Empty(length - 1), logSumExp = device.Empty(length - 1);
        device.Kernels.CrossEntropyForward(
            logits.RowRange(sequence * length, length - 1), ids.AsSpan((sequence * length) + 1, length - 1), losses, logSumExp);
        return losses.ToArray().Average(loss => (double)loss);
    }

    private static float[] Singles(SafetensorsFile file, string name)
    {
        var values = new float[file.Tensors[name].ElementCount];
        file.ReadSingles(name, values);
        return values;
    }

    private static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance, string what)
    {
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow(expected[i] - actual[i], 2);
            norm += Math.Pow(expected[i], 2);
        }
        Assert.True(Math.Sqrt(difference / norm) < tolerance, $"{what}: relative difference {Math.Sqrt(difference / norm)}");
    }

    private static double LargestDifference(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        double largest = 0;
        for (int i = 0; i < expected.Length; i++) largest = Math.Max(largest, Math.Abs(expected[i] - actual[i]));
        return largest;
    }
}
