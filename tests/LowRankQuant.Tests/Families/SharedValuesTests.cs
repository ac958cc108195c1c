using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Families;

/// <summary>Gradients of a whole model whose later blocks read keys and values of earlier ones (Gemma 4), against differences.</summary>
public sealed class SharedValuesTests
{
    private const int Length = 12;

    [Theory]
    [InlineData(1, "self_attn.k_proj")]
    [InlineData(1, "self_attn.v_proj")]
    [InlineData(2, "self_attn.k_proj")]
    [InlineData(0, "mlp.up_proj")]
    [InlineData(4, "per_layer_input_gate")]
    public void GradientsPassThroughSharedKeysAndValues(int layer, string linear)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Path("golden", "models2", "gemma4")), device);
        int[][] windows = [[.. Enumerable.Range(0, Length).Select(i => (i * 37) % 150)], [.. Enumerable.Range(0, Length).Select(i => (i * 23) % 150)]];
        SeededRandom random = SeededRandom.Derive(3);
        float[] direction = [], target = [.. Enumerable.Range(0, Length * model.Config.HiddenSize).Select(_ => (float)random.NextGaussian())];
        using InputEmbedding embedding = model.LoadEmbedding();
        using var passes = new StreamedPasses(model, embedding, windows, new MemoryBudget(1 << 26), Path.GetTempPath());
        Tensor? gradient = null;
        double analytic = 0;
        Loss(0, watch: true);
        passes.Head((_, _, slope) => slope.CopyFrom(target), TestContext.Current.CancellationToken);
        passes.Backward(index => Load(index, 0, watch: true), TestContext.Current.CancellationToken);
        float[] slopes = gradient!.ToArray();
        for (int i = 0; i < slopes.Length; i++) analytic += slopes[i] * direction[i];
        // Four points: the loss bends so much that two of them are one per cent off at a step that 32-bit floats allow.
        const double step = 2.5e-4;
        double near = Loss(step, watch: false) - Loss(-step, watch: false), far = Loss(2 * step, watch: false) - Loss(-2 * step, watch: false);
        double difference = ((8 * near) - far) / (12 * step);
        Assert.True(Math.Abs(difference - analytic) < 0.01 * Math.Abs(difference), $"{analytic} against {difference}");

        IDecoderBlock Load(int index, double by, bool watch)
        {
            IDecoderBlock block = model.LoadBlock(index);
            if (index != layer) return block;
            LinearSlot slot = block.Slots.Single(slot => slot.Name == linear);
            float[] values = ((DenseWeight)slot.Weight).Value.ToArray();
            if (direction.Length == 0) direction = [.. values.Select(_ => (float)random.NextGaussian())];
            for (int i = 0; i < values.Length; i++) values[i] += (float)(by * direction[i]);
            gradient ??= device.Zeros(slot.OutFeatures, slot.InFeatures);
            Tensor moved = device.From(values, slot.OutFeatures, slot.InFeatures);
            slot.Exchange(watch ? new Kept(moved, gradient) : new DenseWeight(moved)).Dispose();
            return block;
        }

        double Loss(double by, bool watch)
        {
            passes.Forward(windows, embedding, index => Load(index, by, watch), TestContext.Current.CancellationToken);
            using Tensor last = device.Empty(Length, model.Config.HiddenSize);
            double loss = 0;
            for (int w = 0; w < windows.Length; w++)
            {
                passes.Last.Read(w, last);
                float[] states = last.ToArray();
                for (int i = 0; i < states.Length; i++) loss += (double)states[i] * target[i];
            }
            return loss;
        }
    }

    /// <summary>A weight whose gradient outlives the block.</summary>
    private sealed class Kept(Tensor value, Tensor gradient) : IWeightSource
    {
        private readonly Variable _variable = new(value, gradient);

        public Variable Weight(Tape tape) => _variable;

        public void Dispose() => value.Dispose();
    }
}
