using System.Text.Json;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Quantization.Transforms.SmoothQuant;

namespace LowRankQuant.Tests.Transforms;

/// <summary>
/// What smoothing is for: the error of a block at eight bits (weights per channel, one static grid an input, keys and values per token), with every alpha, against the
/// reference. The quantizers are written here from its formulas, round half to even.
/// </summary>
public sealed class SmoothErrorTests
{
    private const float Low = -128, High = 127, Steps = 255;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void ErrorsOfABlockFollowTheReference(int index)
    {
        using var scene = new SmoothQuantTests.Scene();
        using JsonDocument figures = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "smooth.json")));
        JsonElement error = figures.RootElement.GetProperty("blocks").GetProperty($"{index}").GetProperty("error");
        for (int i = 0; i < index; i++)
        {
            using IDecoderBlock earlier = scene.Model.LoadBlock(i);
            scene.Stream.Advance(earlier, null, TestContext.Current.CancellationToken);
        }
        float[][] target;
        using (IDecoderBlock plain = scene.Model.LoadBlock(index))
        {
            target = scene.Outputs(plain);
            Follows(error.GetProperty("none").GetDouble(), ErrorOf(scene, plain, target), "no smoothing");
        }
        using (IDecoderBlock block = scene.Model.LoadBlock(index))
        {
            BlockTransformResult result = Apply(block, new SmoothQuantOptions { Sites = SmoothSites.Norms, Search = SmoothQuantOptions.UsualSearch });
            double[] expected = [.. error.GetProperty("alpha_0.1_to_0.9").EnumerateArray().Select(value => value.GetDouble())];
            for (int i = 0; i < expected.Length; i++) Follows(expected[i], result.Search!.Errors[i], $"alpha {result.Search.Tried[i]}");
            Assert.Equal(0.9, result.Search!.Value);
        }
        foreach (double alpha in new[] { 0.5, 0.8 })
        {
            using IDecoderBlock block = scene.Model.LoadBlock(index);
            Apply(block, new SmoothQuantOptions { Alpha = alpha });
            Follows(error.GetProperty(FormattableString.Invariant($"all_sites_{alpha}")).GetDouble(), ErrorOf(scene, block, target), $"all sites at {alpha}");
        }

        BlockTransformResult Apply(IDecoderBlock block, SmoothQuantOptions options) => new SmoothQuantTransform(options).Apply(new BlockTransformContext
        {
            Block = block,
            Inputs = scene.Stream,
            Error = folded => ErrorOf(scene, folded, target),
            Cancellation = TestContext.Current.CancellationToken,
        });

        static void Follows(double expected, double actual, string what)
        {
            TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {actual:F5} where the reference has {expected:F5} ({(actual / expected) - 1:P3})");
            // Codes at ties differ between 32 and 64 bits.
            Assert.InRange(actual / expected, 0.995, 1.005);
        }
    }

    // Mean squared difference from the target of the block with everything quantized.
    private static double ErrorOf(SmoothQuantTests.Scene scene, IDecoderBlock folded, float[][] target)
    {
        LinearSlot[] firsts = [folded.Slots[0], folded.Slots[3], folded.Slots[4], folded.Slots[6]];
        ChannelRange[] ranges = [.. firsts.Select(slot => new ChannelRange(slot.InFeatures))];
        for (int i = 0; i < firsts.Length; i++) firsts[i].InputObserver = ranges[i].Add;
        scene.Outputs(folded);
        foreach (LinearSlot slot in firsts) slot.InputObserver = null;
        using DecoderBlock twin = Twin(scene.Model, folded);
        (int Site, LinearSlot Slot)[] inputs = [(0, twin.Slots[0]), (1, twin.Slots[3]), (2, twin.Slots[4]), (3, twin.Slots[6])];
        foreach ((int site, LinearSlot slot) in inputs)
        {
            float low = ranges[site].Low.ToArray().Min(), high = ranges[site].High.ToArray().Max();
            // The first linear that reads an input rounds it for all.
            slot.InputObserver = input => Round(input.Span, low, high);
        }
        float[][] outputs = scene.Outputs(twin);
        return target.Zip(outputs).Average(pair => pair.First.Zip(pair.Second).Average(values => Math.Pow((double)values.First - values.Second, 2)));
    }

    // The same tensors, with rounded weights, in a block that rounds keys and values per token in front of the rotation.
    private static DecoderBlock Twin(CausalModel model, IDecoderBlock folded)
    {
        var parts = new BlockParts(new LoadedTensors(model.Checkpoint, model.Device, rope => new RopeTables(model.Device, rope)), folded.Name, folded.Index);
        var body = (SequentialBody)model.Architecture.Block(parts);
        var rounding = new RoundedRows();
        var twin = new DecoderBlock(parts, new SequentialBody
        {
            MixerNorm = body.MixerNorm,
            Mixer = (Attention)body.Mixer with { KeyNorm = rounding, ValueNorm = rounding },
            MlpNorm = body.MlpNorm,
            Mlp = body.Mlp,
        });
        twin.Take(folded.Changes(weights: true));
        foreach (LinearSlot slot in twin.Slots)
        {
            float[] values = slot.WeightValues();
            for (int row = 0; row < slot.OutFeatures; row++) RoundRow(values.AsSpan(row * slot.InFeatures, slot.InFeatures));
            slot.Exchange(new DenseWeight(model.Device.From(values, slot.OutFeatures, slot.InFeatures))).Dispose();
        }
        return twin;
    }

    private static void RoundRow(Span<float> row)
    {
        float low = 0, high = 0;
        foreach (float value in row) (low, high) = (Math.Min(low, value), Math.Max(high, value));
        Round(row, low, high);
    }

    private static void Round(Span<float> values, float low, float high)
    {
        (low, high) = (Math.Min(low, 0), Math.Max(high, 0));
        float step = (high - low) / Steps;
        if (step == 0) return;
        float zero = MathF.Round(Math.Clamp(Low - (low / step), Low, High));
        for (int i = 0; i < values.Length; i++) values[i] = (Math.Clamp(MathF.Round((values[i] / step) + zero), Low, High) - zero) * step;
    }

    private sealed class RoundedRows : INorm
    {
        public Variable Apply(Tape tape, Variable x)
        {
            Tensor y = tape.Rent(x.Value.Shape);
            tape.Device.Kernels.Copy(x.Value, y);
            for (int row = 0; row < y.Rows; row++) RoundRow(y.RowRange(row, 1).Span);
            return new Variable(y);
        }

        public void Dispose()
        {
        }
    }
}
