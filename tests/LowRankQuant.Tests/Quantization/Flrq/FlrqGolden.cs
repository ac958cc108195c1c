using System.Text.Json;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>The reference's layers, inputs and figures for FLRQ.</summary>
internal static class FlrqGolden
{
    public static TheoryData<string> StoredLayers => ["tinystories_l0_q", "tinystories_l1_down", "babyllama_l2_o", "gpt2_d6_query", "gpt2_d12_proj"];

    public static MiniSafetensors Tensors(string name) => new(TestData.Path("golden", "flrq", name + ".safetensors"));

    public static JsonElement Figures(string name) =>
        JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "flrq", name + ".json"))).RootElement;

    /// <summary>W as [out, in] of a source such as <c>models/tinystories-656k layer 0 q_proj</c> or a GPT-2 file.</summary>
    public static (double[] W, int Rows, int Columns) Weight(string layer)
    {
        if (layer.StartsWith("gpt2", StringComparison.Ordinal))
        {
            int depth = int.Parse(layer["gpt2_d".Length..layer.LastIndexOf('_')]);
            var gpt2 = Gpt2AttentionTensors.Load(TestData.Path("models", "gpt2-small-attn"), depth);
            NamedTensor tensor = layer[(layer.LastIndexOf('_') + 1)..] switch
            {
                "query" => gpt2.Query,
                "key" => gpt2.Key,
                "value" => gpt2.Value,
                _ => gpt2.Projection,
            };
            return (Wide(tensor.Values), tensor.Rows, tensor.Columns);
        }
        if (layer.StartsWith("babyllama", StringComparison.Ordinal))
        {
            using var source = new Llama2cSource(Path.Combine(TestData.Path("models", "babyllama-tok105"), "model5000.bin"));
            return Read(source, "model.layers.2.self_attn.o_proj.weight");
        }
        string[] parts = layer.Split('_');
        string kind = parts[2] is "gate" or "up" or "down" ? "mlp" : "self_attn";
        using var folder = HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k"));
        return Read(folder, $"model.layers.{parts[1][1..]}.{kind}.{parts[2]}_proj.weight");
    }

    public static StartVectors Starts(MiniSafetensors tensors, string layer)
    {
        int[] shape = tensors.Shape($"{layer}.G");
        double[] all = tensors.Doubles($"{layer}.G");
        return new StartVectors(shape[1], index => index < shape[0] ? all[(index * shape[1])..((index + 1) * shape[1])] : new double[shape[1]]);
    }

    public static LayerProblem Problem(string layer, int bits, int group, WorkerPool workers)
    {
        (double[] weight, int rows, int columns) = Weight(layer);
        return new LayerProblem
        {
            Name = layer,
            Weight = weight,
            OutFeatures = rows,
            InFeatures = columns,
            Inputs = InputStatistics.Of(Tensors("inputs").Doubles($"{layer}.X"), columns, workers),
            Grid = new UniformGrid(bits, false, Granularity.Group, group),
            ScaleType = ScaleType.Float16,
            Damping = 0.01,
            Seed = 1,
            Workers = workers,
        };
    }

    public static void Near(double expected, double actual, double relative, string what) =>
        Assert.True(Math.Abs(actual - expected) <= relative * Math.Abs(expected), $"{what}: {actual:R}, reference {expected:R}, allowed {relative:G2} relative");

    private static (double[] W, int Rows, int Columns) Read(LowRankQuant.Models.Checkpoints.ICheckpoint source, string name)
    {
        IReadOnlyList<int> shape = source.ShapeOf(name);
        var values = new float[shape[0] * shape[1]];
        source.Read(name, values);
        return (Wide(values), shape[0], shape[1]);
    }

    private static double[] Wide(float[] values) => [.. values.Select(value => (double)value)];
}
