using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using static LowRankQuant.Tests.Kernels.FiniteDifferences;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Routers: choices and weights by hand, gradients by differences.</summary>
public class RoutingTests
{
    public static TheoryData<string> Kinds => [.. All.Keys];

    private static readonly Dictionary<string, Routing> All = new()
    {
        ["mixtral"] = new() { Experts = 6, Chosen = 2, Norm = 1 },
        ["qwen2"] = new() { Experts = 6, Chosen = 3 },
        ["glm4"] = new() { Experts = 6, Chosen = 2, Score = RouterScore.Sigmoid, Correction = [0.3f, -0.2f, 0, 0.1f, 0.4f, 0], Groups = 3, KeptGroups = 2, Norm = 1, NormEpsilon = 1e-20, Factor = 2.5f },
        ["ernie"] = new() { Experts = 6, Chosen = 3, Correction = [0.01f, 0, 0.05f, 0, 0, 0.02f], Norm = 1, NormFloor = 1e-12 },
        ["floor"] = new() { Experts = 6, Chosen = 2, Norm = 1, NormFloor = 5 },
        ["dbrx"] = new() { Experts = 6, Chosen = 3, Norm = 2 },
        ["gemma4"] = new() { Experts = 6, Chosen = 2, Norm = 1, ExpertScale = [1, 2, 0.5f, 1, 3, 0.25f] },
        ["deepseek2"] = new() { Experts = 6, Chosen = 2, Groups = 3, KeptGroups = 2, GroupBest = 1, Factor = 16 },
        ["mistral4"] = new() { Experts = 6, Chosen = 2, Groups = 2, KeptGroups = 1, Norm = 1, NormEpsilon = 1e-20 },
        ["llama4"] = new() { Experts = 6, Chosen = 1, Score = RouterScore.Sigmoid },
        ["phimoe"] = new() { Experts = 6, Chosen = 2, Score = RouterScore.SparseMixer, Threshold = 0.8f },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void WeightsHaveTheirGradient(string kind)
    {
        Routing routing = All[kind];
        routing.Check();
        double[] z = [0.3, -1.1, 0.9, 0.8, -0.4, 1.2], dw = [0.7, -1.3, 0.4], dz = new double[6], weights = new double[3];
        int[] chosen = new int[3];
        double Loss()
        {
            routing.Forward(z, chosen.AsSpan(0, routing.Chosen), weights.AsSpan(0, routing.Chosen));
            return Enumerable.Range(0, routing.Chosen).Sum(i => dw[i] * weights[i]);
        }

        Loss();
        routing.Backward(z, chosen.AsSpan(0, routing.Chosen), dw.AsSpan(0, routing.Chosen), dz);
        Check(Loss, z, dz, kind);
    }

    [Fact]
    public void ChoicesAndWeightsAreThoseOfTheFormulas()
    {
        double[] z = [0, Math.Log(2), Math.Log(3), Math.Log(4)], weights = new double[2];
        int[] chosen = new int[2];
        new Routing { Experts = 4, Chosen = 2 }.Forward(z, chosen, weights);
        Assert.Equal([3, 2], chosen);
        Assert.Equal(0.4, weights[0], 1e-15);
        Assert.Equal(0.3, weights[1], 1e-15);

        // Normalized by their sum: the softmax of the chosen logits alone.
        new Routing { Experts = 4, Chosen = 2, Norm = 1, Factor = 3 }.Forward(z, chosen, weights);
        Assert.Equal(3 * 4 / 7.0, weights[0], 1e-15);

        // Corrections move the choice and not the weight; groups are judged by their two best.
        var sigmoid = new Routing { Experts = 4, Chosen = 2, Score = RouterScore.Sigmoid, Correction = [2, 1, 0, 0], Groups = 2, KeptGroups = 1 };
        sigmoid.Forward(z, chosen, weights);
        Assert.Equal([0, 1], chosen);
        Assert.Equal(0.5, weights[0], 1e-15);
        Assert.Equal(2 / 3.0, weights[1], 1e-15);

        // By their best alone the other group is kept.
        (sigmoid with { Correction = [-0.2f, 0, 0, 0], GroupBest = 1, Score = RouterScore.Softmax }).Forward([Math.Log(3), Math.Log(3), Math.Log(4), 0], chosen, weights);
        Assert.Equal([2, 3], chosen);
        (sigmoid with { Correction = [-0.02f, 0, 0, 0], Score = RouterScore.Softmax }).Forward([Math.Log(3), Math.Log(3), Math.Log(4), 0], chosen, weights);
        Assert.Equal([1, 0], chosen);
        Assert.Equal(3 / 11.0, weights[1], 1e-15);
    }

    [Fact]
    public void SparsemixerDropsFarExperts()
    {
        // Threshold .5: with m = 2, 1.5 stays ((2 - 1.5) / 2 = .25) and .5 goes (.75); without 2, m = 1.5 and .5 goes again.
        var routing = new Routing { Experts = 3, Chosen = 2, Score = RouterScore.SparseMixer, Threshold = 0.5f };
        double[] weights = new double[2];
        int[] chosen = new int[2];
        routing.Forward([1.5, 0.5, 2], chosen, weights);
        Assert.Equal([2, 0], chosen);
        Assert.Equal(1 / (1 + Math.Exp(-0.5)), weights[0], 1e-15);
        Assert.Equal(1, weights[1], 1e-15);
    }

    [Fact]
    public void ImpossibleNumbersAreRefused()
    {
        Assert.Throws<ArgumentException>(() => new Routing { Experts = 4, Chosen = 5 }.Check());
        Assert.Throws<ArgumentException>(() => new Routing { Experts = 4, Chosen = 2, Groups = 3 }.Check());
        Assert.Throws<ArgumentException>(() => new Routing { Experts = 4, Chosen = 2, Groups = 4, KeptGroups = 1 }.Check());
        Assert.Throws<ArgumentException>(() => new Routing { Experts = 4, Chosen = 2, Correction = [1] }.Check());
        Assert.Throws<ArgumentException>(() => new Routing { Experts = 4, Chosen = 1, Score = RouterScore.SparseMixer }.Check());
    }

    [Fact]
    public void TheTapeRoutesEveryRow()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        Tensor z = device.From([1, 2, 0, 0, 0, 5], 2, 3), dz = device.Empty(2, 3), seed = device.From([1, 0, 0, 1], 4, 1);
        using var tape = new Tape(device, recording: true);
        (int[] chosen, Variable weights) = tape.Route(new Routing { Experts = 3, Chosen = 2 }, new Variable(z, dz));
        Assert.Equal([1, 0, 2, 0], chosen);
        double[] p = [Math.E, Math.E * Math.E, 1];
        double sum = p.Sum(), p1 = p[1] / sum;
        Assert.Equal(p1, weights.Value.ToArray()[0], 1e-6);
        tape.Backward(weights, seed);
        float[] gradient = dz.ToArray();
        Assert.Equal(p1 * (1 - p1), gradient[1], 1e-6);
        Assert.Equal(-p1 * p[0] / sum, gradient[0], 1e-6);
        Assert.Throws<ArgumentException>(() => tape.Route(new Routing { Experts = 4, Chosen = 2 }, new Variable(z)));
    }
}
