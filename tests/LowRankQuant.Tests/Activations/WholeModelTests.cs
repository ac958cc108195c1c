using System.Globalization;
using System.Text.Json;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Tests.Quantization;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Activations;

/// <summary>A whole tiny model with weights rounded to nearest, activations and caches quantized, against an independent implementation: losses, divergence, static grids.</summary>
public sealed class WholeModelTests(ITestOutputHelper output)
{
    private static readonly string[] Sites = ["qkv", "qkv", "qkv", "o", "gateup", "gateup", "down"];

    [Theory]
    [InlineData("w8a16-kv8", 8)]
    [InlineData("w8a8-static", 8)]
    [InlineData("w8a8-static-nokv", 8)]
    [InlineData("w8a8-static-after", 8)]
    [InlineData("w8a8-dynamic", 8)]
    [InlineData("w8a8-dynamic-sym", 8)]
    [InlineData("w8a8-dynamic-after", 8)]
    [InlineData("w8a8-dynamic-nokv", 8)]
    [InlineData("w8a8-dynamic-sym-nokv", 8)]
    [InlineData("w4a8", 4)]
    [InlineData("w4a8-nokv", 4)]
    [InlineData("w4a16-kv8", 4)]
    public void LossesAndDivergence(string scheme, int bits)
    {
        using JsonDocument figures = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "eval-tinystories.json")));
        JsonElement expected = figures.RootElement.GetProperty(scheme).GetProperty("f64");
        using var lab = new TinyModelLab("tinystories-656k");
        Dictionary<string, (float Step, float Zero)> grids = scheme.Contains("static", StringComparison.Ordinal) ? StaticGrids(lab) : [];
        EvaluationResult measured = lab.Quantize("rtn", bits, GridStart.MinMax, install: block => Install(lab.Model.Device, block, scheme, grids));
        double loss = expected.GetProperty("nll").GetDouble(), divergence = expected.GetProperty("kl").GetDouble();
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{scheme}: loss {measured.NegativeLogLikelihood:F5}, reference {loss:F5}; divergence {measured.KlDivergence:F5}, reference {divergence:F5}"));
        Assert.Equal(loss, measured.NegativeLogLikelihood!.Value, 4e-3);
        Assert.Equal(divergence, measured.KlDivergence!.Value, 0.03 * divergence);
    }

    [Fact]
    public void StaticGridsOfOnePass()
    {
        using var lab = new TinyModelLab("tinystories-656k");
        var golden = new MiniSafetensors(TestData.Path("golden", "schemes", "eval.safetensors"));
        Dictionary<string, (float Step, float Zero)> grids = StaticGrids(lab);
        Assert.Equal(8, grids.Count);
        foreach ((string site, (float step, float zero)) in grids)
        {
            double[] expected = golden.Doubles($"tinystories.static.{site}");
            Assert.Equal(expected[0], step, 1e-5 * expected[0]);
            Assert.InRange(zero, expected[1] - 1, expected[1] + 1);
        }
    }

    private static Dictionary<string, (float Step, float Zero)> StaticGrids(TinyModelLab lab)
    {
        Device device = lab.Model.Device;
        int[][] windows = lab.Windows("calib_ids");
        int length = windows[0].Length;
        using InputEmbedding embedding = lab.Model.LoadEmbedding();
        using Tensor x = device.Empty(windows.Length * length, lab.Model.Config.HiddenSize);
        embedding.Embed([.. windows.SelectMany(ids => ids)], x, [.. Enumerable.Range(0, x.Rows).Select(row => row % length)]);
        var grids = new Dictionary<string, (float, float)>();
        for (int i = 0; i < lab.Model.Config.Layers; i++)
        {
            using IDecoderBlock block = lab.Model.LoadBlock(i);
            var ranges = new Dictionary<string, RangeEstimator>();
            for (int slot = 0; slot < Sites.Length; slot++)
            {
                var range = RangeEstimator.Create(new RangeOptions(RangeRule.MinMax), new ActivationGrid(8, false, ActivationScope.Tensor), 1, long.MaxValue, device.HostWorkers);
                if (!ranges.TryAdd($"block{i}.{Sites[slot]}", range)) continue;
                block.Slots[slot].InputObserver = input => range.Add(input.Span, input.Columns);
            }
            using var tape = new Tape(device, recording: false);
            device.Kernels.Copy(block.Forward(tape, new Variable(x), new SequenceShape(windows.Length, length)).Value, x);
            foreach ((string site, RangeEstimator range) in ranges) grids[site] = (range.Steps().Steps[0], range.Steps().ZeroPoints[0]);
        }
        return grids;
    }

    private static void Install(Device device, IDecoderBlock block, string scheme, Dictionary<string, (float Step, float Zero)> grids)
    {
        bool inputs = scheme.Contains("a8", StringComparison.Ordinal), symmetric = scheme.Contains("sym", StringComparison.Ordinal), after = scheme.Contains("after", StringComparison.Ordinal);
        var made = new Dictionary<string, GridQuantizer>();
        for (int slot = 0; inputs && slot < Sites.Length; slot++)
        {
            string site = $"block{block.Index}.{Sites[slot]}";
            if (!made.TryGetValue(site, out GridQuantizer? quantizer))
            {
                made[site] = quantizer = grids.TryGetValue(site, out (float Step, float Zero) known)
                    ? GridQuantizer.Static(device, new ActivationGrid(8, false, ActivationScope.Tensor), [known.Step], [known.Zero])
                    : GridQuantizer.Dynamic(new ActivationGrid(8, symmetric, ActivationScope.Token));
            }
            block.Slots[slot].InputQuantizer = quantizer;
        }
        if (scheme.Contains("nokv", StringComparison.Ordinal)) return;
        foreach (CacheSite site in block.Caches)
        {
            site.Quantizer = GridQuantizer.Dynamic(new ActivationGrid(8, false, after ? ActivationScope.TokenHead : ActivationScope.Token), site.Heads);
            site.BeforeRotation = !after && site.Kind == CacheKind.Keys;
        }
    }
}
