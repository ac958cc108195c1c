using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Tests.LinearAlgebra;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>Inputs that a layer cannot be fitted to as they are: a stated remedy or a clear error.</summary>
public sealed class BadInputTests : IDisposable
{
    private readonly WorkerPool _workers = new(1);

    public void Dispose() => _workers.Dispose();

    [Fact]
    public void ASingularCovarianceIsDampedAndSaidSo()
    {
        // Two inputs that are always the same, and none of damping asked for.
        double[] x = Matrices.Random(400, 8, 1);
        for (int row = 0; row < 400; row++) x[(row * 8) + 5] = x[(row * 8) + 2];
        var warnings = new List<string>();
        DampedCovariance metric = DampedCovariance.Of(InputStatistics.Of(x, 8, _workers), 0, "model.layers.0.mlp.up_proj", warnings);
        Assert.True(metric.Damping > 0);
        string warning = Assert.Single(warnings);
        Assert.Contains("model.layers.0.mlp.up_proj: the input covariance is singular (input 5)", warning);
        Assert.Contains("instead of 0", warning);
    }

    [Fact]
    public void TooFewTokensAreSaidWithTheDamping()
    {
        var warnings = new List<string>();
        DampedCovariance.Of(InputStatistics.Of(Matrices.Random(60, 8, 1), 8, _workers), 0.3, "layer", warnings);
        Assert.Equal("layer: 60 calibration tokens for 8 inputs; 8 per input are advisable, damping is 0.3.", Assert.Single(warnings));
        DampedCovariance.Of(InputStatistics.Of(Matrices.Random(64, 8, 1), 8, _workers), 0.3, "layer", warnings);
        Assert.Single(warnings);
    }

    [Fact]
    public void InputsThatAreAllZeroStillGiveAWeight()
    {
        double[] weight = Matrices.Random(6, 8, 3);
        LayerSolution solution = new PlusSolver(new PlusOptions(), _ => 1).Solve(new LayerProblem
        {
            Name = "layer",
            Weight = weight,
            OutFeatures = 6,
            InFeatures = 8,
            Inputs = InputStatistics.Of(new double[80 * 8], 8, _workers),
            Grid = new UniformGrid(4, false, Granularity.Channel),
            ScaleType = ScaleType.Float16,
            Damping = 0.3,
            Seed = 1,
            Workers = _workers,
        });
        Assert.Contains("all calibration inputs are zero", Assert.Single(solution.Warnings));
        var stored = new float[weight.Length];
        solution.Weight.Reconstruct(stored);
        for (int i = 0; i < stored.Length; i++) Assert.Equal(weight[i], stored[i], 0.35);
    }

    [Fact]
    public void AnActivationThatIsNotANumberIsAnError()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using Tensor x = device.From([1, 2, float.NaN, 4], 2, 2);
        CalibrationException failure = Assert.Throws<CalibrationException>(() => new InputStatistics(2).Add(x));
        Assert.Contains("Input 0", failure.Message);
    }
}
