using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Models;

/// <summary>The gated norm: both orders, one group and several, values and gradients.</summary>
public class GatedNormTests
{
    private const int Rows = 3;
    private const int N = 12;
    private const float Epsilon = 0.01f;

    [Theory]
    [InlineData(1, true)]
    [InlineData(3, true)]
    [InlineData(1, false)]
    [InlineData(4, false)]
    public void ValuesAndGradientsAreThoseOfTheFormula(int groups, bool gateFirst)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var random = new SeededRandom(61);
        float[] y = Random(random, Rows * N), z = Random(random, Rows * N), w = Random(random, N), slope = Random(random, Rows * N);
        using var norm = new GatedNorm(device.From(w, N), N, groups, Epsilon, gateFirst);
        Tensor dy = device.Empty(Rows, N), dz = device.Empty(Rows, N);
        float[] output;
        using (var tape = new Tape(device, recording: true))
        {
            Variable result = norm.Apply(tape, new Variable(device.From(y, Rows, N), dy), new Variable(device.From(z, Rows, N), dz));
            output = result.Value.ToArray();
            tape.Backward(result, device.From(slope, Rows, N));
        }
        double[] parameters = [.. y.Concat(z).Select(value => (double)value)];
        double[] expected = Formula(parameters, w, groups, gateFirst);
        for (int i = 0; i < output.Length; i++) Assert.Equal(expected[i], output[i], 1e-5);
        double Loss() => Formula(parameters, w, groups, gateFirst).Zip(slope, (u, v) => u * v).Sum();
        float[] gradients = [.. dy.ToArray(), .. dz.ToArray()];
        for (int i = 0; i < parameters.Length; i++)
        {
            double kept = parameters[i];
            parameters[i] = kept + 1e-5;
            double above = Loss();
            parameters[i] = kept - 1e-5;
            double difference = (above - Loss()) / 2e-5;
            parameters[i] = kept;
            Assert.Equal(difference, gradients[i], 2e-5);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    public void GroupsDivideTheChannels(int groups)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using Tensor weight = device.Empty(N);
        Assert.Throws<ArgumentOutOfRangeException>(() => new GatedNorm(weight, (int)weight.Count, groups, Epsilon, gateFirst: true));
    }

    private static double[] Formula(double[] parameters, float[] w, int groups, bool gateFirst)
    {
        double[] result = new double[Rows * N];
        int size = N / groups;
        double Gate(int i) => parameters[(Rows * N) + i] / (1 + Math.Exp(-parameters[(Rows * N) + i]));
        double Value(int i) => gateFirst ? parameters[i] * Gate(i) : parameters[i];
        for (int first = 0; first < result.Length; first += size)
        {
            double square = Enumerable.Range(first, size).Sum(i => Value(i) * Value(i)) / size, inverse = 1 / Math.Sqrt(square + Epsilon);
            for (int i = first; i < first + size; i++) result[i] = Value(i) * inverse * w[i % N] * (gateFirst ? 1 : Gate(i));
        }
        return result;
    }

    private static float[] Random(SeededRandom random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)random.NextGaussian())];
}
