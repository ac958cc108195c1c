using System.Text.Json;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Quantization.Transforms.SmoothQuant;

namespace LowRankQuant.Tests.Transforms;

/// <summary>SmoothQuant against the reference: ranges, factors, folded tensors and the search of tinystories-656k, and a LayerNorm with a dead channel.</summary>
public sealed class SmoothQuantTests
{
    private const int Windows = 32;

    // Sites of the reference by what stands in front.
    private static readonly Dictionary<string, string> Keys = new()
    {
        ["input_layernorm"] = "qkv",
        ["self_attn.v_proj"] = "o",
        ["post_attention_layernorm"] = "gateup",
        ["mlp.up_proj"] = "down",
    };

    [Fact]
    public void RangesAndFactorsAreTheReferences()
    {
        using var scene = new Scene();
        double worstRange = 0, worstFormula = 0, worstFactor = 0;
        for (int index = 0; index < 2; index++)
        {
            using IDecoderBlock block = scene.Model.LoadBlock(index);
            IReadOnlyList<FoldSite> sites = block.Folds.Sites;
            Assert.Equal(Keys.Keys.Order(), sites.Select(site => site.Source).Order());
            IReadOnlyList<ChannelRange> ranges = ChannelRange.Collect(block, sites, scene.Stream, null, TestContext.Current.CancellationToken);
            for (int i = 0; i < sites.Count; i++)
            {
                string key = Keys[sites[i].Source];
                float[] low = scene.Golden($"block{index}.{key}.min"), high = scene.Golden($"block{index}.{key}.max");
                double largest = Math.Max(low.Max(Math.Abs), high.Max(Math.Abs));
                worstRange = Math.Max(worstRange, Math.Max(Largest(low, ranges[i].Low), Largest(high, ranges[i].High)) / largest);
                ChannelRange reference = new(low.Length);
                using Tensor ends = scene.Model.Device.From([.. low, .. high], 2, low.Length);
                reference.Add(ends);
                SmoothFactors exact = new(sites[i], reference), own = new(sites[i], ranges[i]);
                foreach (double alpha in new[] { 0.5, 0.8 })
                {
                    float[] expected = scene.Golden(FormattableString.Invariant($"block{index}.a{alpha}.{key}.factor"));
                    worstFormula = Math.Max(worstFormula, Relative(expected, exact.At(alpha)));
                    worstFactor = Math.Max(worstFactor, Relative(expected, own.At(alpha)));
                }
            }
            scene.Stream.Advance(block, null, TestContext.Current.CancellationToken);
        }
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"ranges {worstRange:G3} of the largest; factors {worstFormula:G3} relative of the reference's ranges, {worstFactor:G3} of our own");
        Assert.True(worstRange < 1e-6, $"ranges: {worstRange}");
        Assert.True(worstFormula < 1e-6, $"factors of the reference's ranges: {worstFormula}");
        // Of ranges in 32 bits behind one or two blocks: the reference's own run in 32 bits is 8.9e-7 off, and another order of sums gives another figure.
        Assert.True(worstFactor < 1.5e-6, $"factors of our own ranges: {worstFactor}");
    }

    [Fact]
    public void FoldedTensorsAreTheReferencesAndTheFunctionStays()
    {
        using var scene = new Scene();
        using IDecoderBlock block = scene.Model.LoadBlock(0);
        float[][] before = scene.Outputs(block);
        BlockTransformResult result = Transform(scene, block, new SmoothQuantOptions { Alpha = 0.8 });
        Assert.Equal(4, result.Sites.Count);
        Assert.Empty(result.Refused);
        Assert.Null(result.Search);
        Assert.Equal(["model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight"], result.Changes.Names);
        Close(scene.Golden("block0.a0.8.all.norm1"), result.Changes.Read("model.layers.0.input_layernorm.weight"));
        Close(scene.Golden("block0.a0.8.all.norm2"), result.Changes.Read("model.layers.0.post_attention_layernorm.weight"));
        foreach ((string key, int slot) in new[] { ("k", 1), ("v", 2), ("o", 3) }) Close(scene.Golden($"block0.a0.8.all.{key}"), block.Slots[slot].WeightValues());
        float[][] after = scene.Outputs(block);
        double largest = before.Zip(after).Max(pair => Largest(pair.First, pair.Second));
        TestContext.Current.TestOutputHelper?.WriteLine($"outputs differ by {largest:G3} at most");
        // In 32 bits the reference's folded and unfolded blocks differ by 2e-4 from 64 bits at outputs up to 358, so by twice that from each other.
        Assert.InRange(largest, 0, 4e-4);

        // Elements pass through two factors at most, each within 1e-6.
        static void Close(float[] expected, float[] actual)
        {
            Assert.True(Relative(expected, actual) < 2e-6, $"{Relative(expected, actual)}");
        }
    }

    [Fact]
    public void NormsAloneLeaveTheOthers()
    {
        using var scene = new Scene();
        using IDecoderBlock block = scene.Model.LoadBlock(0);
        float[] output = block.Slots[3].WeightValues(), down = block.Slots[6].WeightValues();
        BlockTransformResult result = Transform(scene, block, new SmoothQuantOptions { Sites = SmoothSites.Norms });
        Assert.Equal(["input_layernorm", "post_attention_layernorm"], result.Sites.Select(site => site.Source));
        Assert.Equal(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], result.Sites[0].Readers);
        Assert.True(result.Sites[0].Smallest > 0 && result.Sites[0].Smallest < result.Sites[0].Largest);
        Assert.Equal(output, block.Slots[3].WeightValues());
        Assert.Equal(down, block.Slots[6].WeightValues());
    }

    [Fact]
    public void TheSearchTakesTheBestOfTheReferencesErrors()
    {
        using var scene = new Scene();
        using JsonDocument figures = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "smooth.json")));
        for (int index = 0; index < 2; index++)
        {
            JsonElement figure = figures.RootElement.GetProperty("blocks").GetProperty($"{index}");
            double[] errors = [.. figure.GetProperty("error").GetProperty("alpha_0.1_to_0.9").EnumerateArray().Select(error => error.GetDouble())];
            using IDecoderBlock block = scene.Model.LoadBlock(index);
            float[] norm = scene.Model.Checkpoint.ReadFor($"{block.Name}.input_layernorm.weight", SafetensorsType.F32);
            var seen = new List<float>();
            int tried = 0;
            BlockTransformResult result = new SmoothQuantTransform(new SmoothQuantOptions { Sites = SmoothSites.Norms, Search = SmoothQuantOptions.UsualSearch }).Apply(new BlockTransformContext
            {
                Block = block,
                Inputs = scene.Stream,
                Cancellation = TestContext.Current.CancellationToken,
                Error = folded =>
                {
                    // Every alpha meets the block as it came, folded once.
                    seen.Add(folded.Changes(weights: false).Read($"{block.Name}.input_layernorm.weight")[0] / norm[0]);
                    return errors[tried++];
                },
            });
            Assert.Equal(figure.GetProperty("auto_alpha").GetDouble(), result.Search!.Value);
            Assert.Equal(errors, result.Search.Errors);
            Assert.Equal(SmoothQuantOptions.UsualSearch, result.Search.Tried);
            Assert.Equal(9, seen.Distinct().Count());
            double ratio = seen[1] / seen[0];
            for (int i = 1; i < 9; i++) Assert.Equal(ratio, seen[i] / seen[i - 1], 1e-4 * ratio);
            foreach ((string key, string name) in new[] { ("norm1", "input_layernorm"), ("norm2", "post_attention_layernorm") })
                Assert.True(Relative(scene.Golden($"block{index}.auto.{key}"), result.Changes.Read($"{block.Name}.{name}.weight")) < 1e-6);
            using IDecoderBlock plain = scene.Model.LoadBlock(index);
            scene.Stream.Advance(plain, null, TestContext.Current.CancellationToken);
        }
    }

    [Theory]
    [InlineData(new[] { 2.0, 1.0, 1.0 }, 0.2)]
    [InlineData(new[] { double.NaN, 3.0, 2.0 }, 0.3)]
    [InlineData(new[] { 1.0, double.NaN, 1.0 }, 0.1)]
    public void TheFirstOfEqualErrorsWins(double[] errors, double expected)
    {
        int tried = 0;
        Assert.Equal(expected, SearchedSetting.Search([0.1, 0.2, 0.3], _ => errors[tried++], TestContext.Current.CancellationToken).Value);
    }

    [Fact]
    public void ASearchWithoutErrorsAndWrongAlphasAreRefused()
    {
        using var scene = new Scene();
        using IDecoderBlock block = scene.Model.LoadBlock(0);
        Assert.Contains("alphas are searched", Assert.Throws<TransformException>(() => Transform(scene, block, new SmoothQuantOptions { Search = [0.5] })).Message, StringComparison.Ordinal);
        Assert.Contains("alpha is 1.5", Assert.Throws<TransformException>(() => Transform(scene, block, new SmoothQuantOptions { Alpha = 1.5 })).Message, StringComparison.Ordinal);
        Assert.Contains("give calibration texts", Assert.Throws<TransformException>(() => new SmoothQuantTransform(new SmoothQuantOptions()).Apply(new BlockTransformContext { Block = block })).Message, StringComparison.Ordinal);
        Assert.Throws<TransformException>(() => SearchedSetting.Search([0.1], _ => double.NaN, TestContext.Current.CancellationToken));
        Assert.Empty(block.Changes(weights: true).Names);
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.8)]
    public void DeadChannelsOfALayerNormKeepOne(double alpha)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "schemes", "smooth.safetensors"));
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        float[] Of(string name)
        {
            var values = new float[golden.ShapeOf($"layernorm.{name}").Aggregate(1L, (product, size) => product * size)];
            golden.ReadSingles($"layernorm.{name}", values);
            return values;
        }
        const int channels = 24, rows = 40;
        Tensor weight = device.From(Of("weight"), channels), bias = device.From(Of("bias"), channels);
        var tensors = new BlockTensors("", device.HostWorkers);
        tensors.Add(weight, "norm.weight");
        tensors.Add(bias, "norm.bias");
        using var norm = new LayerNorm(weight, bias, 1e-5f);
        using LinearSlot first = Slot("W1", "b1", 16), second = Slot("W2", "b2", 10);
        var readers = new InputReaders();
        readers.Add(first);
        readers.Add(second);
        var list = new FoldList([first, second], tensors);
        list.Stream(norm, readers);
        FoldSite site = Assert.Single(list.Finish().Sites);
        using var tape = new Tape(device, recording: false);
        var x = new Variable(device.From(Of("x"), rows, channels));
        var range = new ChannelRange(channels);
        range.Add(norm.Apply(tape, x).Value);
        float[] factors = new SmoothFactors(site, range).At(alpha);
        string prefix = FormattableString.Invariant($"a{alpha}.");
        Assert.True(Relative(Of(prefix + "factor"), factors) < 1e-6);
        Assert.Equal(1, factors[7]);
        Assert.Equal(1, factors[11]);
        Assert.Equal(1, Of(prefix + "factor")[7]);
        site.Fold(factors);
        foreach ((string name, float[] values) in new[] { ("weight", weight.ToArray()), ("bias", bias.ToArray()), ("W1", first.WeightValues()), ("W2", second.WeightValues()) })
            Assert.True(Relative(Of(prefix + name), values) < 1e-6, $"{name}: {Relative(Of(prefix + name), values)}");
        Variable y = norm.Apply(tape, x);
        foreach ((string name, LinearSlot slot) in new[] { ("out1", first), ("out2", second) })
        {
            float[] expected = Of(name);
            Assert.True(Largest(expected, slot.Apply(tape, y).Value.Span) < 2e-6 * expected.Max(Math.Abs), name);
        }
        x.Value.Dispose();

        LinearSlot Slot(string matrix, string offset, int outFeatures)
        {
            var slot = new LinearSlot(matrix, outFeatures, channels, new DenseWeight(device.From(Of(matrix), outFeatures, channels)), device.From(Of(offset), outFeatures));
            tensors.Add(slot, matrix);
            return slot;
        }
    }

    [Fact]
    public void RoutersCountAmongTheReaders()
    {
        using var lab = new TransformLab("models/mixtral");
        FoldSite site = lab.Blocks(lab.Model)[0].Folds.Sites.Single(site => site.OtherReaders > 0);
        float[] maxima = site.WeightMaxima();
        Tensor router = ((DenseWeight)Assert.Single(site.Kept).Weight).Value;
        float[] large = router.ToArray();
        for (int i = 0; i < large.Length; i++) large[i] *= 100;
        router.CopyFrom(large);
        Assert.All(maxima.Zip(site.WeightMaxima()), pair => Assert.True(pair.First <= pair.Second));
        Assert.Contains(maxima.Zip(site.WeightMaxima()), pair => pair.First < pair.Second);
    }

    private static BlockTransformResult Transform(Scene scene, IDecoderBlock block, SmoothQuantOptions options) => new SmoothQuantTransform(options).Apply(new BlockTransformContext
    {
        Block = block,
        Inputs = scene.Stream,
        Cancellation = TestContext.Current.CancellationToken,
    });

    private static double Largest(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = 0;
        for (int i = 0; i < expected.Length; i++) largest = Math.Max(largest, Math.Abs((double)expected[i] - actual[i]));
        return largest;
    }

    // Element by element; equal zeros count as equal.
    private static double Relative(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            if (expected[i] != actual[i]) largest = Math.Max(largest, Math.Abs(((double)actual[i] / expected[i]) - 1));
        }
        return largest;
    }

    internal sealed class Scene : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
        private readonly SafetensorsFile _golden = SafetensorsFile.Open(TestData.Path("golden", "schemes", "smooth.safetensors"));

        public Scene()
        {
            Model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k")), _device);
            using SafetensorsFile windows = SafetensorsFile.Open(TestData.Path("golden", "lrq", "model-tinystories-656k.safetensors"));
            int[] ids = Quantization.GoldenBlockTests.Read<int>(windows, "calib_ids");
            Stream = ActivationStream.Embed(
                Model, [.. ids.Chunk((int)windows.ShapeOf("calib_ids")[1]).Take(Windows)], new StreamOptions(new MemoryBudget(1 << 30), _folder.Path, Batch: 5));
        }

        public CausalModel Model { get; }

        public ActivationStream Stream { get; }

        public float[] Golden(string name)
        {
            var values = new float[_golden.ShapeOf(name).Aggregate(1L, (product, size) => product * size)];
            _golden.ReadSingles(name, values);
            return values;
        }

        public float[][] Outputs(IDecoderBlock block)
        {
            var outputs = new float[Windows][];
            Stream.Look(block, 0, Windows, (window, output) => outputs[window] = output.ToArray(), TestContext.Current.CancellationToken);
            return outputs;
        }

        public void Dispose()
        {
            Stream.Dispose();
            Model.Dispose();
            _device.Dispose();
            _golden.Dispose();
            _folder.Dispose();
        }
    }
}
