using System.Text.Json;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Tests.LinearAlgebra;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>R1-FLR, the quantizer, the clip search and BLC against the reference's traces.</summary>
public sealed class FlrqGoldenTests(ITestOutputHelper output) : IDisposable
{
    private readonly WorkerPool _workers = new(2);

    public static TheoryData<string> RuleCases =>
    [
        "tinystories_l0_q", "tinystories_l0_gate", "tinystories_l1_o", "tinystories_l1_down", "gpt2_d1_query", "gpt2_d6_key", "gpt2_d6_value",
        "gpt2_d12_proj", "noise_256", "noise_256_lognormal_scale", "noise_plus_6_spikes_256", "noise_plus_40_entries_256", "exact_rank5_192x256",
    ];

    // The exact triplets of this matrix lower the largest magnitude by just under a tenth over the last eight ranks, those of single sketches by just over.
    private static readonly (string, int) FallsLater = ("gpt2_d1_query", 4);

    public void Dispose() => _workers.Dispose();

    [Theory]
    [MemberData(nameof(RuleCases))]
    public void TheAuthorsRankRuleMakesTheSameTrace(string name)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("r1flr");
        JsonElement figures = FlrqGolden.Figures("r1flr").GetProperty(name);
        int rows = figures.GetProperty("shape")[0].GetInt32(), columns = figures.GetProperty("shape")[1].GetInt32();
        double[] weight = tensors.Contains($"{name}.W") ? tensors.Doubles($"{name}.W")
            : name == "noise_256_lognormal_scale" ? tensors.Doubles("noise_256.W") : FlrqGolden.Weight(name).W;
        double[] alpha = tensors.Doubles($"{name}.alpha"), scale = ActivationScale.Of(tensors.Doubles($"{name}.xbar"), 2.5);
        for (int i = 0; i < alpha.Length; i++) FlrqGolden.Near(alpha[i], scale[i], 1e-12, $"{name} alpha {i}");
        foreach (JsonProperty run in figures.GetProperty("runs").EnumerateObject().Some())
        {
            int bits = run.Name[1] - '0';
            double extra = double.Parse(run.Name[4..]);
            PeelResult result = R1Flr.Extract(weight, alpha, new RankCost(rows, columns, bits, 16), extra, RankOne(FlrqGolden.Starts(tensors, name)));
            string what = $"{name}.{run.Name}";
            if (run.Value.GetProperty("cap").GetInt32() == 0)
            {
                // The authors' code forces rank 1 before it looks at the budget; a budget that does not pay for it gives rank 0 here.
                Assert.Equal((0, PeelStop.Budget), (result.Factors.Rank, result.Stop));
                continue;
            }
            Assert.Equal(run.Value.GetProperty("stop").GetString(), result.Stop.ToString().ToLowerInvariant());
            Assert.Equal(run.Value.GetProperty("raw_rank").GetInt32(), result.RawRank);
            Assert.Equal(run.Value.GetProperty("rank").GetInt32(), result.Factors.Rank);
            Assert.Equal(run.Value.GetProperty("cap").GetInt32(), new RankCost(rows, columns, bits, 16).Cap(extra));
            double[] h = tensors.Doubles(what + ".h"), k = tensors.Doubles(what + ".K"), q = tensors.Doubles(what + ".Q");
            Assert.Equal(h.Length, result.Magnitudes.Count);
            double first = run.Value.GetProperty("w0").GetDouble();
            for (int i = 0; i < h.Length; i++)
            {
                FlrqGolden.Near(k[i], result.SizeFactors[i], 1e-12, $"{what} K {i}");
                if (h[i] <= 1e-12 * first)
                {
                    Assert.True(result.Magnitudes[i] <= 1e-12 * first);
                    continue;
                }
                FlrqGolden.Near(h[i], result.Magnitudes[i], 1e-9, $"{what} h {i}");
                FlrqGolden.Near(q[i], result.GainFactors[i], 1e-9, $"{what} Q {i}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(RuleCases))]
    public void PredictedNoiseFindsTheReferencesRanks(string name)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("r1flr");
        JsonElement figures = FlrqGolden.Figures("r1flr").GetProperty(name);
        int rows = figures.GetProperty("shape")[0].GetInt32(), columns = figures.GetProperty("shape")[1].GetInt32();
        double[] weight = tensors.Contains($"{name}.W") ? tensors.Doubles($"{name}.W")
            : name == "noise_256_lognormal_scale" ? tensors.Doubles("noise_256.W") : FlrqGolden.Weight(name).W;
        double[] alpha = tensors.Doubles($"{name}.alpha"), mean = tensors.Doubles($"{name}.xbar");
        // The reference's diagonal of H is that of the mean magnitudes.
        double[] diagonal = [.. mean.Select(x => x * x)];
        foreach (int bits in new[] { 2, 3, 4 })
        {
            JsonElement seeds = figures.GetProperty("seeds").GetProperty($"d{bits}").GetProperty("noise");
            var noise = new PredictedNoise(alpha, diagonal, figures.GetProperty("group").GetInt32());
            LowRankFactors found = RankSelection.ByPredictedNoise(
                weight, alpha, new RankCost(rows, columns, bits, 16), 0.2, noise, RankOne(new StartVectors(rows, 7)));
            Assert.InRange(found.Rank, seeds.GetProperty("min").GetInt32(), seeds.GetProperty("max").GetInt32());
        }
    }

    [Theory]
    [MemberData(nameof(RuleCases))]
    public void TheBlockFormFindsTheSameRanks(string name)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("r1flr");
        JsonElement figures = FlrqGolden.Figures("r1flr").GetProperty(name);
        int rows = figures.GetProperty("shape")[0].GetInt32(), columns = figures.GetProperty("shape")[1].GetInt32();
        double[] weight = tensors.Contains($"{name}.W") ? tensors.Doubles($"{name}.W")
            : name == "noise_256_lognormal_scale" ? tensors.Doubles("noise_256.W") : FlrqGolden.Weight(name).W;
        double[] alpha = tensors.Doubles($"{name}.alpha"), diagonal = [.. tensors.Doubles($"{name}.xbar").Select(x => x * x)];
        Sketching single = RankOne(new StartVectors(rows, 7)), block = single with { Form = SketchForm.Block };
        foreach (int bits in new[] { 2, 3, 4 })
        {
            var cost = new RankCost(rows, columns, bits, 16);
            var noise = new PredictedNoise(alpha, diagonal, figures.GetProperty("group").GetInt32());
            int byNoise = RankSelection.ByPredictedNoise(weight, alpha, cost, 0.2, noise, single).Rank;
            int byNoiseInBlocks = RankSelection.ByPredictedNoise(weight, alpha, cost, 0.2, noise, block).Rank;
            int byMagnitudeInBlocks = R1Flr.Extract(weight, alpha, cost, 0.2, block).Factors.Rank;
            Assert.Equal(byNoise, byNoiseInBlocks);
            // The authors' rule by itself gives ranks that differ by up to seven for other random vectors: the reference has the range of twenty seeds.
            JsonElement seeds = figures.GetProperty("seeds").GetProperty($"d{bits}").GetProperty("code");
            int slack = (name, bits) == FallsLater ? 4 : 2;
            Assert.InRange(byMagnitudeInBlocks, seeds.GetProperty("min").GetInt32() - slack, seeds.GetProperty("max").GetInt32() + slack);
            double rest = Rest(single), restOfBlock = Rest(block);
            output.WriteLine($"{name} {bits} bits: {byNoiseInBlocks}, {byMagnitudeInBlocks} ranks; energy of the remainder {restOfBlock / rest:F4} of the rank-one form's");
            // At flat spectra the block form, which iterates on all vectors together, leaves less.
            Assert.True(restOfBlock <= (1.01 * rest) + 1e-20, $"{name} {bits} bits: {restOfBlock} against {rest}");

            // Energy of diag(alpha) (W - U V)^T at the cap.
            double Rest(Sketching sketching)
            {
                double[] remainder = RankSelection.OfRank(weight, alpha, cost.Cap(0.2), sketching).SubtractFrom(weight, rows, columns, _workers);
                return remainder.Select((value, i) => value * alpha[i % columns]).Sum(value => value * value);
            }
        }
    }

    [Theory]
    [InlineData("edge", 12, 128)]
    [InlineData("tinystories_l0_q", 128, 128)]
    [InlineData("gpt2_d6_query_rows0-31", 32, 768)]
    public void TheQuantizerIsTheReferences(string name, int rows, int columns)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("clip");
        double[] weight = name == "edge" ? tensors.Doubles("edge.W") : FlrqGolden.Weight(name.Replace("_rows0-31", "")).W[..(rows * columns)];
        int compared = 0;
        foreach (int bits in new[] { 2, 3, 4, 8 })
        {
            foreach (int group in new[] { 128, 64, 32 })
            {
                string key = $"{name}.d{bits}_g{group}";
                if (!tensors.Contains(key + ".codes")) continue;
                GridWeight result = GridWeight.RoundToNearest(weight, rows, columns, new UniformGrid(bits, false, Granularity.Group, group), _workers);
                double[] scales = tensors.Doubles(key + ".scale");
                for (int i = 0; i < scales.Length; i++) FlrqGolden.Near(scales[i], result.Scales[i], 1e-14, $"{key} scale {i}");
                Assert.Equal(tensors.Doubles(key + ".zero"), result.Zeros.Select(zero => (double)zero));
                Assert.Equal(tensors.Doubles(key + ".codes"), result.Codes.Select(code => (double)code));
                compared++;
            }
        }
        Assert.True(compared >= 4, $"{compared} grids compared");
    }

    [Theory]
    [MemberData(nameof(FlrqGolden.StoredLayers), MemberType = typeof(FlrqGolden))]
    public void TheClipSearchPicksTheReferencesRanges(string name)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("clip");
        int compared = 0;
        foreach (string key in tensors.Names.Where(key => key.StartsWith(name + ".d", StringComparison.Ordinal) && key.EndsWith(".step", StringComparison.Ordinal)).Some())
        {
            string run = key[..^".step".Length], options = run[(name.Length + 1)..];
            string[] parts = options.Split('_');
            int bits = parts[0][1] - '0', group = int.Parse(parts[1][1..]), rows = tensors.Shape(key)[0];
            LayerProblem problem = FlrqGolden.Problem(name, bits, group, _workers);
            ClipSearch.Result found = ClipSearch.Find(
                problem.Weight[..(rows * problem.InFeatures)], rows, problem.InFeatures, (UniformGrid)problem.Grid, problem.Inputs.Covariance,
                parts[2] == "grid40" ? ClipRange.Wide : ClipRange.Narrow, _workers);
            double[] steps = tensors.Doubles(key), errors = tensors.Doubles(run + ".err"), margins = tensors.Doubles(run + ".margin");
            for (int i = 0; i < steps.Length; i++)
            {
                FlrqGolden.Near(errors[i], found.Errors[i], 1e-9, $"{run} error {i}");
                if (margins[i] > 1e-9) Assert.True(steps[i] == found.Steps[i], $"{run} step {i}: {found.Steps[i]}, reference {steps[i]}");
            }
            compared++;
        }
        Assert.True(compared >= 6, $"{compared} searches compared");
    }

    [Theory]
    [MemberData(nameof(FlrqGolden.StoredLayers), MemberType = typeof(FlrqGolden))]
    public void BlcGoesTheReferencesWay(string name)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("blc");
        JsonElement figures = FlrqGolden.Figures("blc").GetProperty(name);
        double[] alpha = tensors.Doubles($"{name}.alpha");
        StartVectors starts = FlrqGolden.Starts(tensors, name);
        foreach (JsonProperty run in figures.GetProperty("runs").EnumerateObject().Some())
        {
            int bits = run.Name[1] - '0', epochs = int.Parse(run.Name[4..]);
            // Twenty epochs on 768 x 768 take long; the small layers have them.
            if (epochs > 5 && name.StartsWith("gpt2", StringComparison.Ordinal)) epochs = 3;
            LayerProblem problem = FlrqGolden.Problem(name, bits, figures.GetProperty("group").GetInt32(), _workers);
            var cost = new RankCost(problem.OutFeatures, problem.InFeatures, bits, 16);
            var blc = new Blc(
                matrix => R1Flr.Extract(matrix, alpha, cost, 0.2, RankOne(starts)).Factors, epochs, clip: true, ClipRange.Narrow);
            Blc.Pair best = blc.Run(problem);
            double[] errors = tensors.Doubles($"{name}.{run.Name}.E"), ranks = tensors.Doubles($"{name}.{run.Name}.rank");
            for (int i = 0; i <= epochs; i++)
            {
                FlrqGolden.Near(errors[i], blc.Trace[i].Error * problem.Inputs.Tokens, 1e-6, $"{name} {run.Name} epoch {i}");
                Assert.Equal((int)ranks[i], blc.Trace[i].Rank);
            }
            if (blc.Trace.Count != errors.Length) continue;
            int kept = figures.GetProperty("runs").GetProperty(run.Name).GetProperty("best").GetInt32();
            FlrqGolden.Near(errors[kept], best.Error * problem.Inputs.Tokens, 1e-6, $"{name} {run.Name} best");
            if (!tensors.Contains($"{name}.{run.Name}.Wq")) continue;
            Matrices.Close(tensors.Doubles($"{name}.{run.Name}.Wq"), best.Weight.Dequantize(), 1e-9);
            int rank = best.Factors.Rank;
            double[] u = tensors.Doubles($"{name}.{run.Name}.U"), v = tensors.Doubles($"{name}.{run.Name}.V");
            Matrices.Close(
                Matrices.Multiply(u, v, problem.OutFeatures, rank, problem.InFeatures),
                Matrices.Multiply(best.Factors.U, best.Factors.V, problem.OutFeatures, rank, problem.InFeatures), 1e-9);
        }
    }

    [Theory]
    [InlineData(4096, 4096, 2, 51)]
    [InlineData(4096, 4096, 3, 76)]
    [InlineData(11008, 4096, 2, 74)]
    [InlineData(13824, 5120, 4, 186)]
    public void TheExtraSizeAllowsTheRanksOfThePaper(int rows, int columns, int bits, int rank) =>
        Assert.Equal(rank, new RankCost(rows, columns, bits, 16).Cap(0.2));

    [Fact]
    public void PublishedAverageBitsAreReproduced()
    {
        // Llama-2-7B: 4 matrices 4096 x 4096 and 3 of 11008 x 4096 a block; Llama-2-13B 5120 and 13824.
        Assert.Equal(0.241, Extra(39, 4096, 11008), 5e-4);
        Assert.Equal(1.58, Extra(256, 4096, 11008), 5e-3);
        Assert.Equal(4.44, 4 + (16.0 / 128) + Extra(64, 5120, 13824), 5e-3);
        Assert.Equal(4.233, 4 + (16.0 / 128) + Extra(21.9, 5120, 13824), 5e-4);

        static double Extra(double rank, int width, int inner)
        {
            double bits = (4 * new RankCost(width, width, 2, 16).BitsPerWeight(1000) * width * width)
                + (3 * new RankCost(inner, width, 2, 16).BitsPerWeight(1000) * inner * width);
            return bits / 1000 * rank / ((4.0 * width * width) + (3.0 * inner * width));
        }
    }

    private Sketching RankOne(StartVectors starts) => new(SketchForm.RankOne, 2, starts, _workers);
}
