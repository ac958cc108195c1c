using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Tests.Families;

/// <summary>Small trained models of other families: logits and likelihoods, in full precision and rounded to nearest, equal to their golden figures.</summary>
public sealed class TrainedFamilyTests
{
    private const int Length = 512;
    private const int LastPositions = 8;

    public static TheoryData<string> Folders => ["opt", "qwen3-moe", "gemma3", "gpt2", "bloom", "phi3"];

    [Theory]
    [MemberData(nameof(Folders))]
    public void FullPrecisionHasTheGoldenFigures(string name)
    {
        string folder = TestData.Path("models", "families", name);
        JsonNode golden = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")))!;
        using SafetensorsFile expected = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(folder), device);
        var wanted = new float[LastPositions * model.Config.VocabularySize];
        expected.ReadSingles("logits_float64", wanted);
        float[]? last = null;
        double[] losses = Losses(model, Ids(golden), null, (window, logits) => last ??= window == 0 ? logits.RowRange(Length - LastPositions, LastPositions).ToArray() : null);
        Assert.Equal(wanted.Length, last!.Length);
        for (int i = 0; i < wanted.Length; i++) Assert.Equal(wanted[i], last[i], 2e-4);
        double[] likelihoods = [.. golden["nll_float64"]!.AsArray().Select(value => (double)value!)];
        for (int window = 0; window < losses.Length; window++) Assert.Equal(likelihoods[window], losses[window], 1e-5);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void RoundingToNearestHasTheGoldenFigures(string name)
    {
        string folder = TestData.Path("models", "families", name);
        JsonNode golden = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")))!;
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(folder), device);
        Assert.Equal((long)golden["rtn"]!["weights"]!, model.LinearWeights);
        foreach (int bits in new[] { 4, 3, 2 })
        {
            JsonNode figures = golden["rtn"]!["bits"]![$"{bits}"]!;
            var scheme = new Scheme(new UniformGrid(bits, false, Granularity.Group, 64), GridStart.MinMax, ScaleType.Float32);
            double[] losses = Losses(
                model, Ids(golden),
                index =>
                {
                    IDecoderBlock block = model.LoadBlock(index);
                    SlotSwap.ReplaceByRounded(block, scheme, device);
                    return block;
                },
                null);
            double[] likelihoods = [.. figures["nll_float64"]!.AsArray().Select(value => (double)value!)];
            for (int window = 0; window < losses.Length; window++) Assert.Equal(likelihoods[window], losses[window], 1e-5);
            Codes(model, scheme, figures["first_matrix"]!, device);
        }
    }

    // Scales, zero points and codes of one matrix, put together again where it is stored as one.
    private static void Codes(CausalModel model, Scheme scheme, JsonNode matrix, CpuDevice device)
    {
        string name = (string)matrix["name"]!;
        string[] parts = [.. model.Layout.Tensors.Where(tensor => tensor.Name.EndsWith(name, StringComparison.Ordinal) || tensor.View?.Stored.EndsWith(name, StringComparison.Ordinal) == true).Select(tensor => tensor.Name)];
        Assert.NotEmpty(parts);
        long sum = 0;
        foreach (string part in parts)
        {
            IReadOnlyList<int> shape = model.Checkpoint.ShapeOf(part);
            var values = new float[shape[0] * shape[1]];
            model.Checkpoint.Read(part, values);
            var weight = (UniformWeight)FittedGrid.Find(values, shape[0], shape[1], scheme, device.HostWorkers).Round(values, default, device.HostWorkers);
            sum += weight.Codes.Sum(code => (long)code);
            if (part != parts[0]) continue;
            float[] scales = [.. matrix["row0_scales"]!.AsArray().Select(value => (float)(double)value!)];
            int[] zeros = [.. matrix["row0_zeros"]!.AsArray().Select(value => (int)value!)], codes = [.. matrix["row0_codes_first_64"]!.AsArray().Select(value => (int)value!)];
            Assert.Equal(scales, weight.Scales[..scales.Length]);
            Assert.Equal(zeros, weight.ZeroPoints![..zeros.Length].Select(zero => (int)zero));
            Assert.Equal(codes, weight.Codes[..codes.Length].Select(code => (int)code));
        }
        Assert.Equal((long)matrix["sum_of_codes"]!, sum);
    }

    private static int[][] Ids(JsonNode golden) => [.. golden["ids"]!.AsArray().Select(window => window!.AsArray().Select(id => (int)id!).ToArray())];

    private static double[] Losses(CausalModel model, int[][] windows, Func<int, IDecoderBlock>? load, Action<int, Tensor>? see)
    {
        using var runner = new ModelRunner(model, loadBlock: load);
        var losses = new double[windows.Length];
        runner.Run(windows, (window, hidden) =>
        {
            using var tape = new Tape(model.Device, recording: false);
            Tensor logits = runner.Head.Logits(tape, new Variable(hidden)).Value, loss = tape.Rent(Length - 1), logSumExp = tape.Rent(Length - 1);
            see?.Invoke(window, logits);
            model.Device.Kernels.CrossEntropyForward(logits.RowRange(0, Length - 1), windows[window].AsSpan(1), loss, logSumExp);
            losses[window] = loss.ToArray().Average(value => (double)value);
        });
        return losses;
    }
}
