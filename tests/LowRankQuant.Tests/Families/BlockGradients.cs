using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Tests.Families;

/// <summary>Gradients of a whole block by differences: of its input, and of the weights of its linears.</summary>
internal static class BlockGradients
{
    /// <summary>Compares each gradient with differences along one direction, relative error at most 1e-3.</summary>
    /// <param name="model">The model.</param>
    /// <param name="block">Number of the block.</param>
    /// <param name="linears">The linears to look at, beside the input.</param>
    /// <param name="windows">Windows.</param>
    /// <param name="length">Positions of each.</param>
    public static void Check(CausalModel model, int block, IEnumerable<string> linears, int windows, int length)
    {
        Device device = model.Device;
        int rows = windows * length, width = model.Config.HiddenSize;
        SeededRandom random = SeededRandom.Derive(8);
        float[] x = Gaussian(random, rows * width, 1), seed = Gaussian(random, x.Length, 1);
        // Choices of experts jump, so they stay as they are at first.
        int[][]? chosen = null;
        foreach (string linear in linears.Append("x"))
        {
            float[] direction = [];
            double analytic = 0;
            Loss(0, record: true);
            // Richardson's extrapolation; the loss is a sum in double precision of outputs in single.
            double numeric = ((4 * Slope(5e-3)) - Slope(1e-2)) / 3;
            Assert.True(Math.Abs(numeric - analytic) < 1e-3 * Math.Abs(numeric), $"block {block}, {linear}: {analytic}, by differences {numeric}");

            double Slope(double step) => (Loss(step, record: false) - Loss(-step, record: false)) / (2 * step);

            double Loss(double step, bool record)
            {
                using IDecoderBlock loaded = model.LoadBlock(block);
                for (int i = 0; i < chosen?.Length; i++) loaded.Routers[i].Given = chosen[i];
                LinearSlot? slot = loaded.Slots.SingleOrDefault(slot => slot.Name == linear);
                float[] values = slot is null ? x : slot.WeightValues();
                if (direction.Length == 0) direction = Gaussian(random, values.Length, slot is null ? 0.5 : 0.5 / Math.Sqrt(slot.InFeatures));
                float[] moved = [.. values.Select((value, i) => (float)(value + (step * direction[i])))];
                using Tensor gradient = device.Zeros(values.Length);
                using var tape = new Tape(device, recording: record);
                Variable input = slot is null ? new(device.From(moved, rows, width), gradient) : new(device.From(x, rows, width));
                slot?.Exchange(new DenseWeight(device.From(moved, slot.OutFeatures, slot.InFeatures), device.Zeros(slot.OutFeatures, slot.InFeatures))).Dispose();
                Variable y = loaded.Forward(tape, input, new SequenceShape(windows, length));
                chosen ??= [.. loaded.Routers.Select(router => router.Last!)];
                float[] output = y.Value.ToArray();
                if (record)
                {
                    tape.Backward(y, device.From(seed, rows, width));
                    float[] slopes = (slot is null ? input : ((DenseWeight)slot.Weight).Variable).Gradient!.ToArray();
                    // With the sign of the slopes everything adds up, and rounding does not matter beside it.
                    for (int i = 0; i < slopes.Length; i++) analytic += (double)slopes[i] * (direction[i] = MathF.CopySign(direction[i], slopes[i]));
                }
                double loss = 0;
                for (int i = 0; i < output.Length; i++) loss += (double)output[i] * seed[i];
                return loss;
            }
        }
    }

    /// <summary>Normally distributed numbers.</summary>
    public static float[] Gaussian(SeededRandom random, int count, double spread) => [.. Enumerable.Range(0, count).Select(_ => (float)(spread * random.NextGaussian()))];
}
