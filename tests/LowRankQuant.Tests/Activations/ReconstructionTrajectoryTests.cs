using System.Globalization;
using System.Text.Json;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Tests.Quantization;

namespace LowRankQuant.Tests.Activations;

/// <summary>
/// A hundred steps of block reconstruction with activations and caches quantized, inside or outside, against an independent implementation. A single activation that falls on
/// the other side of a tie sends a trajectory another way, so that late losses are compared by their means.
/// </summary>
public sealed class ReconstructionTrajectoryTests(ITestOutputHelper output)
{
    private const int Windows = 32, Length = 128, Steps = 100, Rank = 16;

    // Steps that are compared one by one; later ones by means of so many.
    private const int Early = 10, Mean = 10;
    private static readonly string[] Keys = ["q", "k", "v", "o", "gate", "up", "down"];
    private static readonly (string Name, int[] Slots)[] Sites = [("qkv", [0, 1, 2]), ("o", [3]), ("gateup", [4, 5]), ("down", [6])];

    [Theory]
    [InlineData("w8a8-lrq")]
    [InlineData("w8a8-flexround")]
    [InlineData("w8a8-lrq-lsq")]
    [InlineData("w8a8-lrq-after")]
    [InlineData("w8a8-lrq-outside")]
    [InlineData("w4a8-lrq")]
    [InlineData("w4a8-flexround")]
    [InlineData("w4a8-lrq-after")]
    [InlineData("w4a8-lrq-outside")]
    public void LossesFollowTheReference(string run)
    {
        using SafetensorsFile common = Golden("recon-common"), golden = Golden("recon-" + run);
        using JsonDocument figures = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "recon.json")));
        JsonElement expected = figures.RootElement.GetProperty("runs").GetProperty(run);
        bool isStatic = run.StartsWith("w8a8", StringComparison.Ordinal), inside = !run.EndsWith("outside", StringComparison.Ordinal), full = run.Contains("flexround", StringComparison.Ordinal);
        int bits = isStatic ? 8 : 4;
        using var device = new CpuDevice();
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k")), device);
        using IDecoderBlock block = model.LoadBlock(0);
        BlockStreams streams = Streams(model, block);
        using BlockQuantizers quantizers = Quantizers(device, block, common, isStatic, run.EndsWith("after", StringComparison.Ordinal));
        using LearnedSteps? steps = run.EndsWith("lsq", StringComparison.Ordinal) ? new LearnedSteps(quantizers) : null;
        using var arena = new ParameterArena(device, 4_000_000, 64);
        LearnedScale[] learned = [.. Enumerable.Range(0, Keys.Length).Select(i => Learn(block.Slots[i], Keys[i], i, bits, full, common, arena))];
        steps?.Take(arena);
        IWeightSource[] dense = [.. block.Slots.Select((slot, i) => slot.Exchange(learned[i]))];
        var options = new TrainingSettings { Iterations = Steps, LearningRate = expected.GetProperty("lr").GetDouble() };
        using var trainer = new BlockTrainer(block, streams, arena, options);
        double MeanLoss()
        {
            quantizers.Install();
            steps?.Install();
            double loss = trainer.MeanLoss(0, Windows, TestContext.Current.CancellationToken);
            if (!inside) quantizers.Remove();
            return loss;
        }

        double before = MeanLoss(), wanted = expected.GetProperty("full_set_loss_before").GetDouble();
        Assert.Equal(wanted, before, (isStatic ? 3e-3 : 5e-4) * wanted);
        float[] losses = GoldenBlockTests.Read<float>(golden, "loss.f64");
        var schedule = new CosineSchedule(options.LearningRate, Steps);
        var rates = new CosineSchedule(1e-3, Steps);
        var found = new List<double>();
        int[] order = GoldenBlockTests.Read<int>(common, "order");
        for (int step = 0; step < Steps; step++)
        {
            double loss = trainer.Step(order.AsSpan(2 * step, 2), schedule.At(step), step + 1, rates.At(step));
            if (step == 0 && !isStatic) CheckGradients(golden, learned);
            if (step >= losses.Length) continue;
            if (step < Early) Assert.Equal(losses[step], loss, (step > 0 ? 3e-2 : isStatic ? 3e-3 : 1e-5) * losses[step]);
            found.Add(loss);
        }
        // The reference in single precision is itself 7.2 % away from that in double precision at one step of the 8-bit run without quantizers inside: means are nearer.
        for (int step = Early; step + Mean <= found.Count; step += Mean)
        {
            double mean = losses.Skip(step).Take(Mean).Average(loss => (double)loss);
            Assert.Equal(mean, found.Skip(step).Take(Mean).Average(), 5e-2 * mean);
        }
        double after = MeanLoss(), reference = expected.GetProperty("full_set_loss_after").GetDouble();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{run}: loss of all windows {before:F2} to {after:F2}; reference {wanted:F2} to {reference:F2}"));
        Assert.Equal(reference, after, 0.04 * reference);
        quantizers.Remove();
        steps?.Keep(ScaleType.Float32);
        for (int i = 0; steps is not null && i < Sites.Length; i++)
        {
            float final = GoldenBlockTests.Read<float>(golden, $"static.{Sites[i].Name}.s_final")[0];
            Assert.Equal(final, quantizers.Inputs[i].Steps[0], 0.05 * final);
        }
        for (int i = 0; i < dense.Length; i++) block.Slots[i].Exchange(dense[i]).Dispose();
    }

    private static SafetensorsFile Golden(string name) => SafetensorsFile.Open(TestData.Path("golden", "schemes", name + ".safetensors"));

    private static BlockStreams Streams(CausalModel model, IDecoderBlock block)
    {
        using SafetensorsFile texts = SafetensorsFile.Open(TestData.Path("golden", "lrq", "model-tinystories-656k.safetensors"));
        int[] ids = GoldenBlockTests.Read<int>(texts, "calib_ids");
        var budget = new MemoryBudget(1 << 30);
        ActivationStream Stream() => ActivationStream.Of(model.Device, new ActivationStore(Windows, Length, model.Config.HiddenSize, budget, Path.GetTempPath()), new StreamOptions(budget, Path.GetTempPath()));
        ActivationStream input = Stream(), target = Stream();
        using InputEmbedding embedding = model.LoadEmbedding();
        for (int w = 0; w < Windows; w++)
        {
            using var tape = new Tape(model.Device, recording: false);
            Tensor x = tape.Rent(Length, model.Config.HiddenSize);
            embedding.Embed(ids.AsSpan(w * Length, Length), x);
            input.Write(w, x);
            target.Write(w, block.Forward(tape, new Variable(x), new SequenceShape(1, Length)).Value);
        }
        return new BlockStreams(input, target, Windows);
    }

    private static BlockQuantizers Quantizers(Device device, IDecoderBlock block, SafetensorsFile common, bool isStatic, bool after)
    {
        var inputs = new List<InputQuantizer>();
        foreach ((string name, int[] slots) in Sites)
        {
            LinearSlot[] shared = [.. slots.Select(slot => block.Slots[slot])];
            inputs.Add(isStatic
                ? InputQuantizer.Static(
                    device, shared, new ActivationGrid(8, false, ActivationScope.Tensor), GoldenBlockTests.Read<float>(common, $"static.{name}.s"), [GoldenBlockTests.Read<int>(common, $"static.{name}.zero")[0]])
                : InputQuantizer.Dynamic(shared, new ActivationGrid(8, false, ActivationScope.Token)));
        }
        foreach (CacheSite site in block.Caches) site.BeforeRotation = !after && site.Kind == CacheKind.Keys;
        var grid = new ActivationGrid(8, false, after ? ActivationScope.TokenHead : ActivationScope.Token);
        return new BlockQuantizers(block, device, inputs, [.. block.Caches.Select(site => CacheQuantizer.Dynamic(site, grid))]);
    }

    private static LearnedScale Learn(LinearSlot slot, string key, int place, int bits, bool full, SafetensorsFile common, ParameterArena arena)
    {
        float[] logs = GoldenBlockTests.Read<float>(common, $"w{bits}.{key}.log_s1");
        var start = new GridParameters([.. logs.Select(MathF.Exp)], GoldenBlockTests.Read<byte>(common, $"w{bits}.{key}.zero"));
        var grid = new UniformGrid(bits, false, Granularity.Channel);
        ScaleShape shape = full ? new ScaleShape(ScaleForm.Full, 0) : ScaleShape.LowRankFor(slot.OutFeatures, slot.InFeatures, Rank);
        var fit = new UniformFit(slot.OutFeatures, slot.InFeatures, grid, ScaleType.Float32, start);
        LearnedScale learned = LearnedScale.Create(slot, new RoundingParts(shape), new LayerStart(grid, fit), arena, 0x200000 + (ulong)place);
        learned.Parameters.LogScale.Value.CopyFrom(logs);
        return learned;
    }

    private static void CheckGradients(SafetensorsFile golden, LearnedScale[] learned)
    {
        int compared = 0;
        for (int i = 0; i < Keys.Length; i++)
        {
            FakeQuantizeParameters p = learned[i].Parameters;
            foreach ((string name, Variable? variable) in new[] { ("log_s1", p.LogScale), ("r2", p.RowOffset), ("c2", p.ColumnOffset), ("L2", p.Left), ("U2", p.Right), ("S2", p.Full) })
            {
                string key = $"grad0.{Keys[i]}.{name}";
                if (variable is null || !golden.Contains(key)) continue;
                float[] expected = GoldenBlockTests.Read<float>(golden, key), actual = variable.Gradient!.ToArray();
                double largest = expected.Max(x => Math.Abs((double)x)), error = expected.Select((x, j) => Math.Abs((double)x - actual[j])).Max();
                Assert.True(error <= 5e-3 * largest, $"{key}: {error} against a largest element of {largest}");
                compared++;
            }
        }
        Assert.True(compared >= 2 * Keys.Length, $"{compared} gradients compared");
    }
}
