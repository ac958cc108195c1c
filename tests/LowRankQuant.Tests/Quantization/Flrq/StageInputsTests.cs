using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Tests.LinearAlgebra;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>The held-out error by which a damping is chosen, against the outputs themselves.</summary>
public sealed class StageInputsTests : IDisposable
{
    private const int Tokens = 40, Inputs = 9, Outputs = 5;
    private readonly WorkerPool _workers = new(1);

    public void Dispose() => _workers.Dispose();

    [Fact]
    public void TheErrorIsThatOfTheOutputsButForAConstant()
    {
        double[] full = Matrices.Random(Tokens, Inputs, 1), noise = Matrices.Random(Tokens, Inputs, 2), quantized = [.. full.Zip(noise, (x, e) => x + (0.2 * e))];
        double[] weight = Matrices.Random(Outputs, Inputs, 3), importance = [1, 2, 0.5, 3, 1];
        double[] cross = Matrices.Multiply(Matrices.Transpose(full, Tokens, Inputs), quantized, Inputs, Tokens, Inputs);
        for (int i = 0; i < cross.Length; i++) cross[i] /= Tokens;
        InputStatistics statistics = InputStatistics.Of(quantized, Inputs, _workers);
        double[] target = Outcome(full, weight), same = Outcome(quantized, weight);
        double constant = Energy(target);
        foreach (int seed in new[] { 4, 5 })
        {
            double[] candidate = [.. weight.Zip(Matrices.Random(Outputs, Inputs, seed), (w, e) => w + (0.1 * e))], outcome = Outcome(quantized, candidate);
            double withCross = Energy([.. target.Zip(outcome, (a, b) => a - b)]), without = Energy([.. same.Zip(outcome, (a, b) => a - b)]);
            Assert.Equal(withCross - constant, new StageInputs(statistics, cross).ErrorOf(weight, candidate, Outputs, importance, _workers), 1e-10);
            Assert.Equal(without, new StageInputs(statistics, null).ErrorOf(weight, candidate, Outputs, importance, _workers), 1e-10);
        }

        double[] Outcome(double[] x, double[] w) => Matrices.Multiply(x, Matrices.Transpose(w, Outputs, Inputs), Tokens, Inputs, Outputs);

        double Energy(double[] outputs) => outputs.Select((value, i) => importance[i % Outputs] * value * value).Sum() / Tokens;
    }
}
