using System.Text.Json;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Awq;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Tests.Quantization.Flrq;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Quantization.Awq;

/// <summary>AWQ on the reference's two blocks: magnitudes, errors of all candidates, factors, folded norms, codes, clipping.</summary>
public sealed class AwqGoldenTests
{
    private const int Windows = 16;

    // Weights in bfloat16 that are not scaled lie on exact ties, where the reference rounds behind its zero point and the product in front of it, as its round to nearest does.
    private const double Tied = 5e-3;

    private static readonly string[] Linears = ["q", "k", "v", "o", "gate", "up", "down"];
    private static readonly Lazy<MiniSafetensors> Golden = new(() => new MiniSafetensors(TestData.Path("golden", "schemes", "awq.safetensors")));

    // Sites of the reference by what stands in front.
    private static readonly Dictionary<string, string> Keys = new()
    {
        ["input_layernorm"] = "qkv",
        ["self_attn.v_proj"] = "o",
        ["post_attention_layernorm"] = "gateup",
        ["mlp.up_proj"] = "down",
    };

    [Theory]
    [InlineData("random", 4, "duo")]
    [InlineData("random", 4, "single")]
    [InlineData("random", 3, "duo")]
    [InlineData("random", 4, "autoawq")]
    [InlineData("ts", 4, "duo")]
    [InlineData("ts", 4, "single")]
    [InlineData("ts", 3, "duo")]
    [InlineData("ts", 4, "autoawq")]
    public void ScalesAreTheReferences(string block, int bits, string scaling)
    {
        using BlockScene scene = Open(block);
        string key = $"{block}.b{bits}.g32.{scaling}";
        JsonElement figures = Figures(key).GetProperty("sites");
        AwqOptions options = Options(scaling);
        FoldSite[] sites = [.. scene.Block.Folds.Sites.Where(site => site.Kind != FoldKind.Values || site.Group == 1)];
        Assert.Equal(figures.EnumerateObject().Select(site => site.Name).Order(), sites.Select(site => Keys[site.Source]).Order());
        double[][] inputs = AwqMagnitudes.OfInputs(scene.Block, sites, scene.Inputs, new LookedAt(scene.Inputs.Windows), TestContext.Current.CancellationToken);
        for (int i = 0; i < sites.Length; i++)
        {
            string site = Keys[sites[i].Source];
            Near(Golden.Value.Doubles($"{block}.{site}.x_mean"), inputs[i], 1e-6, $"{site} inputs");
            Near(Golden.Value.Doubles($"{block}.{site}.w_mean.g32"), AwqMagnitudes.OfWeights(sites[i], _ => 32), 1e-6, $"{site} weights");
        }
        float[][] before = [.. scene.Block.Slots.Select(slot => slot.WeightValues())];
        IReadOnlyList<AwqChoice> choices = new AwqSearch(scene.Block, scene.Inputs, new LookedAt(scene.Inputs.Windows), SchemeOf(bits), options, TestContext.Current.CancellationToken).Find(sites);
        Assert.Equal(before, scene.Block.Slots.Select(slot => slot.WeightValues()));
        double worst = 0;
        foreach (AwqChoice choice in choices)
        {
            JsonElement expected = figures.GetProperty(Keys[choice.Site.Source]);
            double[] history = [.. expected.GetProperty("history").EnumerateArray().Select(error => error.GetDouble())];
            Assert.Equal(history.Length, choice.Errors.Count);
            for (int i = 0; i < history.Length; i++)
            {
                bool tied = block == "ts" && AwqCandidate.All(options)[i] is { Ratio: 0, Duo: false };
                worst = tied ? worst : Math.Max(worst, Math.Abs((choice.Errors[i] / history[i]) - 1));
                FlrqGolden.Near(history[i], choice.Errors[i], tied ? Tied : 1e-4, $"{key} {choice.Site.Source} error {i}");
            }
            Assert.Equal(expected.GetProperty("ratio").GetDouble(), choice.Candidate.Ratio, 1e-9);
            Near(Golden.Value.Doubles($"{key}.{Keys[choice.Site.Source]}.factor"), [.. choice.Factors.Select(factor => (double)factor)], 1e-6, $"{key} {choice.Site.Source} factors");
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{key}: errors of candidates {worst:G3} off at most, but for those of weights as they are");
    }

    [Theory]
    [InlineData("random", 0)]
    [InlineData("ts", 1)]
    public void CodesAreTheReferences(string block, int tiedGroups)
    {
        using BlockScene scene = Open(block);
        string key = $"{block}.b4.g32.duo";
        double[] errors = [.. new[] { "rtn", "awq", "awq_clip" }.Select(name => Figures(key).GetProperty("block_error").GetProperty(name).GetDouble())];
        FlrqGolden.Near(errors[0], scene.ErrorOf(Rounded(scene)), block == "ts" ? Tied : 1e-5, $"{key} rounded to nearest");
        BlockTransformResult result = Scale(scene);
        Near(Golden.Value.Doubles($"{key}.norm1"), Read("model.layers.0.input_layernorm.weight"), 2e-6, "norm in front of attention");
        Near(Golden.Value.Doubles($"{key}.norm2"), Read("model.layers.0.post_attention_layernorm.weight"), 2e-6, "norm in front of the MLP");
        QuantizedWeight[] rounded = Rounded(scene);
        int different = 0;
        var groups = new HashSet<int>();
        for (int i = 0; i < Linears.Length; i++)
        {
            var weight = (UniformWeight)rounded[i];
            float[] values = scene.Block.Slots[i].WeightValues();
            double[] codes = Golden.Value.Doubles($"{key}.{Linears[i]}.code"), zeros = Golden.Value.Doubles($"{key}.{Linears[i]}.zero");
            Near(Golden.Value.Doubles($"{key}.{Linears[i]}.s"), [.. weight.Scales.Select(scale => (double)scale)], 2e-6, $"{Linears[i]} scales");
            foreach (int at in Enumerable.Range(0, codes.Length).Where(at => codes[at] != weight.Codes[at]))
            {
                different++;
                // Nothing is scaled in front of o of ts: its weights and zero points lie on exact ties.
                Assert.Equal(("ts", "o"), (block, Linears[i]));
                if (zeros[at / 32] != weight.ZeroPoints![at / 32]) groups.Add(at / 32);
                else Assert.Equal((1.0, 0.5), (Math.Abs(codes[at] - weight.Codes[at]), Math.Round(Math.Abs(values[at] / weight.Scales[at / 32] % 1), 4)));
            }
        }
        Assert.InRange(groups.Count, 0, tiedGroups);
        FlrqGolden.Near(errors[1], scene.ErrorOf(rounded), block == "ts" ? Tied : 1e-5, $"{key} scaled");
        double clipped = scene.ErrorOf(new LayerwiseMethod("awq", new AwqSolver(clip: true, GridStart.MinMax), new LayerwiseOptions()).Quantize(scene.Context(SchemeOf(4))).Weights);
        TestContext.Current.TestOutputHelper?.WriteLine($"{key}: {different} codes differ; clipped {clipped:G6} where the reference has {errors[2]:G6}");
        // The reference looks at every fourth token of ts.
        FlrqGolden.Near(errors[2], clipped, 0.01, $"{key} clipped");

        double[] Read(string name) => [.. result.Changes.Read(name).Select(value => (double)value)];
    }

    [Theory]
    [InlineData("random")]
    [InlineData("ts")]
    public void ClippingIsTheReferences(string block)
    {
        using BlockScene scene = Open(block);
        Scale(scene);
        int step = Math.Max(1, scene.Inputs.Windows * scene.Inputs.Rows / 512), different = 0, groups = 0;
        foreach (string linear in Linears.Except(["q", "k"]))
        {
            LinearSlot slot = scene.Slot(linear);
            int m = slot.OutFeatures, n = slot.InFeatures;
            double[] weight = Array.ConvertAll(slot.WeightValues(), value => (double)value);
            InputStatistics inputs = InputStatistics.Of(TokensOf(scene, slot, step), n, scene.Device.HostWorkers);
            ClipSearch.Result found = ClipSearch.Find(weight, m, n, new UniformGrid(4, false, Granularity.Group, 32), inputs.Covariance, ClipRange.Awq, scene.Device.HostWorkers);
            double[] expected = Golden.Value.Doubles($"{block}.b4.g32.duo.{linear}.clip.index"), bounds = Golden.Value.Doubles($"{block}.b4.g32.duo.{linear}.clip.bound");
            for (int i = 0; i < expected.Length; i++)
            {
                if (expected[i] != found.Steps[i]) different++;
                else FlrqGolden.Near(bounds[i], found.Limits[i], 2e-6, $"{linear} bound {i}");
            }
            groups += expected.Length;
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{block}: {different} of {groups} bounds differ");
        // A group that is clipped at both ends has a zero point half way between two codes, so that the last bit decides.
        Assert.InRange(different, 0, (int)(0.03 * groups));
    }

    private static BlockScene Open(string block) => block == "ts" ? BlockScene.TinyStories(Windows) : BlockScene.OfTensors(Golden.Value, "random", heads: 4);

    private static JsonElement Figures(string key) => JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "awq.json"))).RootElement.GetProperty(key);

    private static AwqOptions Options(string scaling) => new()
    {
        Scaling = scaling switch { "duo" => AwqScaling.Duo, "single" => AwqScaling.Single, _ => AwqScaling.AutoAwq },
        Sites = AwqSites.Ungrouped,
    };

    private static Scheme SchemeOf(int bits) => new(new UniformGrid(bits, false, Granularity.Group, 32), GridStart.MinMax, ScaleType.Float32);

    private static BlockTransformResult Scale(BlockScene scene) => new AwqTransform(Options("duo")).Apply(new BlockTransformContext
    {
        Block = scene.Block,
        Inputs = scene.Inputs,
        Scheme = SchemeOf(4),
        Cancellation = TestContext.Current.CancellationToken,
    });

    private static QuantizedWeight[] Rounded(BlockScene scene) =>
        [.. new LayerwiseMethod("awq", new AwqSolver(clip: false, GridStart.MinMax), new LayerwiseOptions()).Quantize(scene.Context(SchemeOf(4))).Weights];

    // Every so many-th token that a linear gets, [tokens, n].
    private static double[] TokensOf(BlockScene scene, LinearSlot slot, int step)
    {
        var all = new List<double>();
        int token = 0;
        slot.InputObserver = x =>
        {
            float[] values = x.ToArray();
            for (int row = 0; row < x.Rows; row++)
            {
                if (token++ % step == 0) all.AddRange(values.Skip(row * x.Columns).Take(x.Columns).Select(value => (double)value));
            }
        };
        scene.Inputs.Look(scene.Block, 0, scene.Inputs.Windows, (_, _) => { }, TestContext.Current.CancellationToken, batch: 1);
        slot.InputObserver = null;
        return [.. all];
    }

    private static void Near(double[] expected, double[] actual, double relative, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) FlrqGolden.Near(expected[i], actual[i], relative, $"{what} {i}");
    }
}
