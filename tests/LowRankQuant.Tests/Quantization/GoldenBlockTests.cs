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
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Tests.Quantization;

/// <summary>One LRQ and one FlexRound block of tinystories-656k against the reference: gradients of two steps, the course of the loss.</summary>
public sealed class GoldenBlockTests
{
    private static readonly string[] Keys = ["q", "k", "v", "o", "gate", "up", "down"];

    [Theory]
    [InlineData(0, "lrq")]
    [InlineData(1, "lrq")]
    [InlineData(0, "flexround")]
    [InlineData(1, "flexround")]
    public void GradientsAndLossesFollowTheReference(int index, string method)
    {
        using SafetensorsFile common = SafetensorsFile.Open(TestData.Path("golden", "lrq", "block-common.safetensors"));
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "lrq", $"block{index}-{method}.safetensors"));
        using var device = new CpuDevice();
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k")), device);
        using BlockScene scene = BlockScene.Prepare(model, common, index, method);
        using IDecoderBlock block = model.LoadBlock(index);
        using var arena = new ParameterArena(device, 4_000_000, 64);
        LearnedScale[] learned = Learn(block, common, index, method, arena);
        IWeightSource[] dense = [.. block.Slots.Select((slot, i) => slot.Exchange(learned[i]))];
        var options = new TrainingSettings { Iterations = 200, LearningRate = 5e-3 };
        using var trainer = new BlockTrainer(block, scene.Streams, arena, options);
        var schedule = new CosineSchedule(options.LearningRate, options.Iterations);
        int[] order = Read<int>(common, $"block{index}.order");
        float[] losses = Read<float>(golden, "loss.f64");
        double lateSum = 0;
        for (int step = 0; step < 200; step++)
        {
            double loss = trainer.Step(order.AsSpan(2 * step, 2), schedule.At(step), step + 1);
            if (step < 2) CheckGradients(golden, step, learned, method);
            if (step == 0) Assert.Equal(losses[0], loss, 1e-6 * losses[0]);
            else if (step < 5) Assert.Equal(losses[step], loss, 1e-4 * losses[step]);
            else if (step < 20) Assert.Equal(losses[step], loss, 2e-3 * losses[step]);
            else if (step < 50) Assert.Equal(losses[step], loss, 6e-2 * losses[step]);
            if (step >= 150) lateSum += loss;
        }
        Assert.True(double.IsFinite(lateSum));
        CheckCodes(golden, learned);
        for (int i = 0; i < dense.Length; i++) block.Slots[i].Exchange(dense[i]).Dispose();
    }

    // How the reference seeds its factors.
    private static ulong GoldenSeed(int block, int linear) => 0x200000 + (16 * (ulong)block) + (ulong)linear;

    private static LearnedScale[] Learn(IDecoderBlock block, SafetensorsFile common, int index, string method, ParameterArena arena)
    {
        var learned = new LearnedScale[Keys.Length];
        for (int i = 0; i < Keys.Length; i++)
        {
            LinearSlot slot = block.Slots[i];
            string key = $"block{index}.{Keys[i]}";
            var start = new GridParameters(Read<float>(common, $"{key}.s1"), Read<byte>(common, $"{key}.zero"));
            ScaleShape shape = method == "lrq" ? ScaleShape.LowRankFor(slot.OutFeatures, slot.InFeatures, 16) : new ScaleShape(ScaleForm.Full, 0);
            var grid = new UniformGrid(3, false, Granularity.Channel);
            var fit = new UniformFit(slot.OutFeatures, slot.InFeatures, grid, ScaleType.Float32, start);
            learned[i] = LearnedScale.Create(slot, new RoundingParts(shape), new LayerStart(grid, fit), arena, GoldenSeed(index, i));
            learned[i].Parameters.LogScale.Value.CopyFrom(Read<float>(common, $"{key}.log_s1"));
            if (method == "lrq") Assert.Equal(Read<float>(common, $"{key}.U2"), learned[i].Parameters.Right!.Value.ToArray());
        }
        return learned;
    }

    private static void CheckGradients(SafetensorsFile golden, int step, LearnedScale[] learned, string method)
    {
        for (int i = 0; i < Keys.Length; i++)
        {
            FakeQuantizeParameters p = learned[i].Parameters;
            Compare("log_s1", p.LogScale);
            Compare("r2", p.RowOffset!);
            if (method == "flexround")
            {
                Compare("S2", p.Full!);
                continue;
            }
            Compare("c2", p.ColumnOffset!);
            Compare("L2", p.Left!);
            Compare("U2", p.Right!);

            void Compare(string parameter, Variable variable)
            {
                string name = $"grad{step}.{Keys[i]}.{parameter}";
                if (!golden.Contains(name)) return;
                float[] expected = Read<float>(golden, name), actual = variable.Gradient!.ToArray();
                double largest = expected.Max(x => Math.Abs((double)x)), error = 0;
                for (int j = 0; j < expected.Length; j++) error = Math.Max(error, Math.Abs(expected[j] - actual[j]));
                Assert.True(error <= 1e-5 * largest, $"{name}: {error} against a largest element of {largest}");
            }
        }
    }

    private static void CheckCodes(SafetensorsFile golden, LearnedScale[] learned)
    {
        long different = 0, all = 0;
        for (int i = 0; i < Keys.Length; i++)
        {
            byte[] expected = Read<byte>(golden, $"{Keys[i]}.code"), actual = learned[i].ToQuantizedWeight().Codes;
            for (int j = 0; j < expected.Length; j++) different += expected[j] == actual[j] ? 0 : 1;
            all += expected.Length;
        }
        Assert.True(different <= 0.05 * all, $"{different} of {all} codes differ");
    }

    internal static T[] Read<T>(SafetensorsFile file, string name)
        where T : unmanaged
    {
        var values = new T[file.Tensors[name].ElementCount];
        file.Read(name, values.AsSpan());
        return values;
    }

    /// <summary>The streams of one block, made as the reference made them.</summary>
    private sealed class BlockScene : IDisposable
    {
        private readonly ActivationStream _input;
        private readonly ActivationStream _target;

        private BlockScene(ActivationStream input, ActivationStream target)
        {
            _input = input;
            _target = target;
            Streams = new BlockStreams(input, target, input.Windows);
        }

        public BlockStreams Streams { get; }

        public static BlockScene Prepare(CausalModel model, SafetensorsFile common, int index, string method)
        {
            int[] ids = Read<int>(common, "ids");
            const int windows = 32, length = 128;
            var budget = new MemoryBudget(1 << 30);
            ActivationStream input = ActivationStream.Of(model.Device, new ActivationStore(windows, length, 128, budget, Path.GetTempPath()), new StreamOptions(budget, Path.GetTempPath()));
            ActivationStream target = ActivationStream.Of(model.Device, new ActivationStore(windows, length, 128, budget, Path.GetTempPath()), new StreamOptions(budget, Path.GetTempPath()));
            using IDecoderBlock block0 = model.LoadBlock(0), block = model.LoadBlock(index);
            using InputEmbedding embedding = model.LoadEmbedding();
            for (int w = 0; w < windows; w++)
            {
                using var tape = new Tape(model.Device, recording: false);
                Tensor x = tape.Rent(length, 128);
                embedding.Embed(ids.AsSpan(w * length, length), x);
                var shape = new SequenceShape(1, length);
                Variable full = new(x), quantized = new(x);
                if (index == 1)
                {
                    full = block0.Forward(tape, full, shape);
                    using SafetensorsFile stored = SafetensorsFile.Open(TestData.Path("golden", "lrq", $"block0-{method}.safetensors"));
                    quantized = WithStoredCodes(block0, stored, common, () => block0.Forward(tape, quantized, shape));
                }
                input.Write(w, quantized.Value);
                target.Write(w, block.Forward(tape, full, shape).Value);
            }
            return new BlockScene(input, target);
        }

        public void Dispose()
        {
            _input.Dispose();
            _target.Dispose();
        }

        private static Variable WithStoredCodes(IDecoderBlock block, SafetensorsFile stored, SafetensorsFile common, Func<Variable> forward)
        {
            var old = new IWeightSource[Keys.Length];
            for (int i = 0; i < Keys.Length; i++)
            {
                LinearSlot slot = block.Slots[i];
                byte[] codes = Read<byte>(stored, $"{Keys[i]}.code"), zeros = Read<byte>(common, $"block0.{Keys[i]}.zero");
                float[] scales = Read<float>(stored, $"{Keys[i]}.s1_final"), values = new float[codes.Length];
                for (int j = 0; j < values.Length; j++) values[j] = (codes[j] - zeros[j / slot.InFeatures]) * scales[j / slot.InFeatures];
                Tensor weight = ((DenseWeight)slot.Weight).Value.Device.From(values, slot.OutFeatures, slot.InFeatures);
                old[i] = slot.Exchange(new DenseWeight(weight));
            }
            Variable output = forward();
            for (int i = 0; i < Keys.Length; i++) block.Slots[i].Exchange(old[i]).Dispose();
            return output;
        }
    }
}
