using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Models;

/// <summary>
/// Mixers of Mamba-2 and Mamba-1 put together here from the operations, against the layers of independently computed models: norm, projection, convolution
/// (plain loops), step sizes, recurrence, gate, projection.
/// </summary>
public class RecurrentMixerGoldenTests
{
    private delegate Variable Mixer(Tape tape, Variable x, int batch, int length);

    [Theory]
    [InlineData("a")]
    [InlineData("b")]
    public void Mamba2LayersAddWhatTheirMixerGives(string input)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        for (int layer = 0; layer < 2; layer++)
        {
            var weights = new Weights(device, "mamba2", $"backbone.layers.{layer}.");
            using var norm = new GatedNorm(weights.Tensor("mixer.norm.weight"), 2, 1e-5f, gateFirst: true);
            Compare(device, "mamba2", input, layer, 1e-5f, weights.Tensor("norm.weight"), (tape, x, batch, length) =>
            {
                // Rows of the projection: z (64), x (64), B (2 * 12), C (2 * 12), dt (4).
                Variable all = tape.Linear(x, weights.Variable("mixer.in_proj.weight"));
                Variable mixed = Convolve(tape, Columns(tape, all, 64, 112), weights, "mixer.conv1d", length);
                Variable steps = tape.StepSizes(Columns(tape, all, 176, 4), weights.Tensor("mixer.dt_bias"), 0.1f, 1);
                Variable y = tape.StateSpace(
                    new StateSpaceShape(batch, length, 4, 2, 16, 12), Columns(tape, mixed, 0, 64), Columns(tape, mixed, 64, 24), Columns(tape, mixed, 88, 24),
                    steps, weights.Rates("mixer.A_log"), weights.Tensor("mixer.D"));
                return tape.Linear(norm.Apply(tape, y, Columns(tape, all, 0, 64)), weights.Variable("mixer.out_proj.weight"));
            });
        }
    }

    [Theory]
    [InlineData("a")]
    [InlineData("b")]
    public void Mamba1LayersAddWhatTheirMixerAndMlpGive(string input)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        foreach (int layer in new[] { 0, 2 })
        {
            var weights = new Weights(device, "jamba", $"model.layers.{layer}.");
            Compare(device, "jamba", input, layer, 1e-6f, weights.Tensor("input_layernorm.weight"), (tape, x, batch, length) =>
            {
                Variable all = tape.Linear(x, weights.Variable("mamba.in_proj.weight"));
                Variable inner = Convolve(tape, Columns(tape, all, 0, 80), weights, "mamba.conv1d", length);
                Variable parts = tape.Linear(inner, weights.Variable("mamba.x_proj.weight"));
                Variable Normed(int first, int count, string name) =>
                    tape.RmsNorm(Columns(tape, parts, first, count), weights.Variable($"mamba.{name}_layernorm.weight"), 1e-6f);
                Variable dt = tape.Linear(Normed(0, 6, "dt"), weights.Variable("mamba.dt_proj.weight"));
                Variable steps = tape.StepSizes(dt, weights.Tensor("mamba.dt_proj.bias"), 0, float.PositiveInfinity);
                Variable y = tape.SelectiveScan(
                    new SelectiveScanShape(batch, length, 80, 8), inner, Normed(6, 8, "b"), Normed(14, 8, "c"), steps, weights.Rates("mamba.A_log"),
                    weights.Tensor("mamba.D"));
                return tape.Linear(tape.GatedActivation(Activation.Silu, Columns(tape, all, 80, 80), y), weights.Variable("mamba.out_proj.weight"));
            }, (tape, middle) =>
            {
                Variable normed = tape.RmsNorm(middle, weights.Variable("pre_ff_layernorm.weight"), 1e-6f);
                Variable gate = tape.Linear(normed, weights.Variable("feed_forward.gate_proj.weight")), up = tape.Linear(normed, weights.Variable("feed_forward.up_proj.weight"));
                return tape.Add(middle, tape.Linear(tape.GatedActivation(Activation.Silu, gate, up), weights.Variable("feed_forward.down_proj.weight")));
            });
        }
    }

    /// <summary>hidden[layer + 1] = after(hidden[layer] + mixer(norm(hidden[layer]))).</summary>
    private static void Compare(
        CpuDevice device, string model, string input, int layer, float epsilon, Tensor norm, Mixer mixer, Func<Tape, Variable, Variable>? after = null)
    {
        var golden = new MiniSafetensors(TestData.Path("golden", "hybrids", $"{model}.safetensors"));
        int[] shape = golden.Shape($"{input}.hidden");
        int batch = shape[1], length = shape[2], n = shape[3], count = batch * length * n;
        float[] hidden = golden.Floats($"{input}.hidden");
        using var tape = new Tape(device, recording: false);
        var before = new Variable(device.From(hidden.AsSpan(layer * count, count), batch * length, n));
        Variable sum = tape.Add(before, mixer(tape, tape.RmsNorm(before, new Variable(norm), epsilon), batch, length));
        if (after is not null) sum = after(tape, sum);
        float[] actual = sum.Value.ToArray();
        double difference = 0, size = 0;
        for (int i = 0; i < count; i++)
        {
            double expected = hidden[((layer + 1) * count) + i];
            difference += (actual[i] - expected) * (actual[i] - expected);
            size += expected * expected;
        }

        // Written so that not-a-number fails.
        Assert.True(Math.Sqrt(difference / size) <= 3e-6, $"{model} {input}, layer {layer}: {Math.Sqrt(difference / size):g3}");
    }

    private static Variable Columns(Tape tape, Variable x, int first, int count)
    {
        float[] values = x.Value.ToArray(), part = new float[x.Value.Rows * count];
        for (int i = 0; i < part.Length; i++) part[i] = values[(i / count * x.Value.Columns) + first + (i % count)];
        return new Variable(tape.Device.From(part, x.Value.Rows, count));
    }

    /// <summary>Causal convolution of every channel by itself, the last tap on the current token, then SiLU.</summary>
    private static Variable Convolve(Tape tape, Variable x, Weights weights, string name, int length)
    {
        float[] taps = weights.Tensor($"{name}.weight").ToArray(), bias = weights.Tensor($"{name}.bias").ToArray(), values = x.Value.ToArray();
        int n = x.Value.Columns, size = taps.Length / n;
        float[] y = new float[values.Length];
        for (int i = 0; i < y.Length; i++)
        {
            int channel = i % n, t = i / n % length;
            double sum = bias[channel];
            for (int j = Math.Max(0, size - 1 - t); j < size; j++) sum += taps[(channel * size) + j] * values[i + ((j - size + 1) * n)];
            y[i] = (float)(sum / (1 + Math.Exp(-sum)));
        }
        return new Variable(tape.Device.From(y, x.Value.Rows, n));
    }

    private sealed class Weights(CpuDevice device, string model, string prefix)
    {
        private readonly MiniSafetensors _file = new(TestData.Path("golden", "hybrids", model, "model.safetensors"));

        public Tensor Tensor(string name) => device.From(_file.Floats(prefix + name), _file.Shape(prefix + name));

        public Variable Variable(string name) => new(Tensor(name));

        /// <summary>A = -exp(A_log).</summary>
        public Tensor Rates(string name) => device.From([.. _file.Doubles(prefix + name).Select(value => (float)-Math.Exp(value))], _file.Shape(prefix + name));
    }
}
