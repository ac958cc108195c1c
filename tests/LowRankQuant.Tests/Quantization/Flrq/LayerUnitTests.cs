using System.Text.Json;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.ErrorFit;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Quantization.Methods.Gptq;
using LowRankQuant.Tests.LinearAlgebra;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>Peers and the steps of flrq+ on the reference's layers.</summary>
public sealed class LayerUnitTests : IDisposable
{
    private readonly WorkerPool _workers = new(2);

    public void Dispose() => _workers.Dispose();

    [Theory]
    [MemberData(nameof(FlrqGolden.StoredLayers), MemberType = typeof(FlrqGolden))]
    public void PeersLeaveTheReferencesError(string name)
    {
        JsonElement figures = FlrqGolden.Figures("units").GetProperty(name);
        foreach (int bits in new[] { 2, 3, 4 })
        {
            JsonElement run = figures.GetProperty("runs").GetProperty($"d{bits}");
            LayerProblem problem = FlrqGolden.Problem(name, bits, figures.GetProperty("group").GetInt32(), _workers);
            int m = problem.OutFeatures, n = problem.InFeatures, rank = run.GetProperty("rank").GetInt32();
            GridWeight rtn = problem.RoundToNearest(problem.Weight);
            double[] error = rtn.ErrorOf(problem.Weight);
            Check("rtn", error);
            double[] limits = problem.ClipLimits(problem.Weight, ClipRange.Wide)!;
            Check("rtn_clip", problem.RoundToNearest(problem.Weight, limits).ErrorOf(problem.Weight));
            foreach ((string key, ErrorMetric metric) in new[]
            {
                ("lqer", ErrorMetric.Plain), ("l2qer", ErrorMetric.MeanMagnitude), ("qera_approx", ErrorMetric.RootMeanSquare),
                ("qera_exact_damped", ErrorMetric.Covariance),
            })
            {
                LowRankFactors factors = new ErrorFitSolver(metric, _ => rank, clip: false).Fit(problem, error, rank, []);
                Check(key, factors.SubtractFrom(error, m, n, _workers));
                double energy = Matrices.Multiply(factors.U, factors.V, m, rank, n).Sum(value => value * value);
                FlrqGolden.Near(run.GetProperty(key + "_fro2_of_UV").GetDouble(), energy, 1e-6, $"{name} d{bits} {key} |UV|^2");
            }

            void Check(string key, double[] difference) => FlrqGolden.Near(
                run.GetProperty(key).GetDouble(), QuadraticForm.Rows(difference, problem.Inputs.Covariance, m, n, _workers).Sum(), 1e-6, $"{name} d{bits} {key}");
        }
    }

    [Theory]
    [InlineData("tinystories_l0_q")]
    [InlineData("tinystories_l1_down")]
    [InlineData("babyllama_l2_o")]
    public void StepsOfPlusGoTheReferencesWay(string name)
    {
        MiniSafetensors tensors = FlrqGolden.Tensors("units");
        JsonElement figures = FlrqGolden.Figures("units").GetProperty(name);
        foreach (int bits in new[] { 2, 3, 4 })
        {
            JsonElement run = figures.GetProperty("runs").GetProperty($"d{bits}");
            LayerProblem problem = FlrqGolden.Problem(name, bits, figures.GetProperty("group").GetInt32(), _workers);
            int m = problem.OutFeatures, n = problem.InFeatures, rank = run.GetProperty("rank").GetInt32();
            DampedCovariance metric = DampedCovariance.Of(problem.Inputs, 0.01, name, []);
            var options = new PlusOptions { Rounds = 3, WhitenedStart = false, WeighOutputs = false };
            var solver = new PlusSolver(options, _ => rank) { Trace = [] };
            double[] limits = problem.ClipLimits(problem.Weight, ClipRange.Wide)!;
            GridWeight gptq = problem.RoundToNearest(problem.Weight, limits);
            GptqRounding.Round(problem.Weight, gptq, GptqRounding.InverseFactor(metric), _workers);
            double[] scales = tensors.Doubles($"{name}.d{bits}.gptq.scale");
            for (int i = 0; i < scales.Length; i++) FlrqGolden.Near(scales[i], gptq.Scales[i], 1e-12, $"{name} d{bits} scale {i}");
            SameCodes(tensors.Doubles($"{name}.d{bits}.gptq.codes"), gptq.Codes, $"{name} d{bits} gptq");
            (GridWeight weight, _) = solver.Refine(problem, metric, rank);
            int step = 0;
            double before = double.PositiveInfinity;
            foreach (JsonElement expected in run.GetProperty("plus_trace_damped_E").EnumerateArray().Some())
            {
                (string what, double error) = solver.Trace[step++];
                Assert.Equal(expected[0].GetString(), what);
                Assert.True(error <= before * (1 + 1e-12), $"{name} d{bits} step {step} {what}: {error:R} after {before:R}");
                FlrqGolden.Near(expected[1].GetDouble(), error, 1e-6, $"{name} d{bits} step {step} {what}");
                before = error;
            }
            Assert.Equal(solver.Trace.Count, step);
            SameCodes(tensors.Doubles($"{name}.d{bits}.plus.codes"), weight.Codes, $"{name} d{bits} plus");
        }
    }

    [Fact]
    public void WhatIsStoredIsAsGoodAsTheReferences()
    {
        const string name = "tinystories_l0_q";
        JsonElement figures = FlrqGolden.Figures("units").GetProperty(name);
        foreach (int bits in new[] { 2, 3, 4 })
        {
            JsonElement expected = figures.GetProperty("runs").GetProperty($"d{bits}").GetProperty("plus_stored_int8_factors_fp16_scales");
            LayerProblem problem = FlrqGolden.Problem(name, bits, figures.GetProperty("group").GetInt32(), _workers);
            int rank = expected.GetProperty("rank").GetInt32();
            var options = new PlusOptions { Rounds = 3, WhitenedStart = false, WeighOutputs = false };
            LayerSolution solution = new PlusSolver(options, _ => rank).Solve(problem);
            Assert.Equal(expected.GetProperty("bits").GetDouble(), solution.Weight.BitsPerWeight, 1e-9);
            var stored = new float[problem.Weight.Length];
            solution.Weight.Reconstruct(stored);
            double[] difference = [.. problem.Weight.Select((value, i) => value - stored[i])];
            double error = QuadraticForm.Rows(difference, problem.Inputs.Covariance, problem.OutFeatures, problem.InFeatures, _workers).Sum();
            Assert.True(error <= 1.03 * expected.GetProperty("E").GetDouble(), $"d{bits}: {error}, reference {expected.GetProperty("E").GetDouble()}");
        }
    }

    private static void SameCodes(double[] expected, byte[] actual, string what)
    {
        int different = expected.Where((code, i) => code != actual[i]).Count();
        Assert.True(different == 0, $"{what}: {different} of {expected.Length} codes differ");
    }
}
