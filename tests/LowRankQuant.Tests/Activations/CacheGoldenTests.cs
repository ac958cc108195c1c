using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Autograd.Sequences;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Activations;

/// <summary>Keys and values on their grids, in front of and behind both rotations, with gradients, against an independent implementation in double precision.</summary>
public sealed class CacheGoldenTests
{
    private const int Heads = 2, HeadSize = 16, Columns = Heads * HeadSize;

    [Theory]
    [InlineData("token-head", ActivationScope.TokenHead)]
    [InlineData("token", ActivationScope.Token)]
    [InlineData("static-head", ActivationScope.Head)]
    [InlineData("static-tensor", ActivationScope.Tensor)]
    public void KeysAndValues(string unit, ActivationScope scope)
    {
        var data = new MiniSafetensors(TestData.Path("golden", "schemes", "act-cache.safetensors"));
        string[] cases = [.. data.Names.Where(name => name.StartsWith(unit + ".", StringComparison.Ordinal) && name.EndsWith(".code", StringComparison.Ordinal)).Select(name => name[..^5])];
        Assert.Equal(20, cases.Length);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        foreach (string key in cases) Check(device, data, key, scope);
    }

    private static void Check(Device device, MiniSafetensors data, string key, ActivationScope scope)
    {
        string[] parts = key.Split('.');
        string where = parts[3], source = where == "v" ? "v" : "k";
        bool interleaved = where.EndsWith("interleaved", StringComparison.Ordinal), rotates = where != "v", before = where.StartsWith("k-before", StringComparison.Ordinal);
        var grid = new ActivationGrid(parts[1][1] - '0', parts[2] == "ct-sym", scope, parts[2] == "paper" ? ActivationRule.Paper : ActivationRule.CompressedTensors);
        int rows = data.Shape(source)[0];
        using RotaryAngles angles = Angles(device, data.Shape("calibration_k")[0], interleaved);
        using Tensor values = device.From(data.Floats(source), rows, Columns), gradient = device.Zeros(rows, Columns), seed = device.From(data.Floats("G_" + source), rows, Columns);
        StaticSteps? steps = grid.IsDynamic ? null : Static(device, data, grid, source, rotates && !before ? angles : null, key);
        int units = grid.IsPerHead ? Heads : 1;
        using var tape = new Tape(device, recording: true);
        var x = new Variable(values, gradient);
        Variable seen = rotates && !before ? tape.Rotate(x, angles, HeadSize, rows) : x;
        Variable rounded = tape.QuantizeActivations(seen, grid, steps, units), y = rotates && before ? tape.Rotate(rounded, angles, HeadSize, rows) : rounded;
        tape.Backward(y, seed);

        Tensor step = tape.Rent(grid.IsDynamic ? rows : 1, units), zeroPoint = tape.Rent(grid.IsDynamic ? rows : 1, units);
        if (steps is not null)
        {
            step.CopyFrom(steps.Step.Value.ToArray());
            zeroPoint.CopyFrom(steps.ZeroPoint.Value.ToArray());
        }
        var codes = new sbyte[rows * Columns];
        device.Kernels.ActivationCodes(new ActivationQuantizerArguments { Grid = grid, X = seen.Value, Step = step, ZeroPoint = zeroPoint }, codes);
        double[] expectedSteps = data.Doubles($"{key}.s");
        float[] foundSteps = step.ToArray();
        for (int i = 0; i < foundSteps.Length; i++) Assert.True(Math.Abs(foundSteps[i] - expectedSteps[i]) <= 2e-7 * expectedSteps[i], $"{key} s {i}");

        double[] expectedCodes = data.Doubles($"{key}.code"), ties = data.Contains($"{key}.tie") ? data.Doubles($"{key}.tie") : new double[codes.Length];
        int shift = grid.Rule == ActivationRule.Paper ? grid.Half : 0;
        var other = new bool[rows];
        for (int i = 0; i < codes.Length; i++)
        {
            double difference = expectedCodes[i] - shift - codes[i];
            if (difference == 0 || IsZero(seen.Value, i / Columns, i % Columns / (Columns / units), units)) continue;
            Assert.True(Math.Abs(difference) == 1 && ties[i] == 1, $"{key} code {i}: {codes[i]} for {expectedCodes[i]}");
            other[i / Columns] = true;
        }
        Near(data.Doubles($"{key}.value"), y.Value.ToArray(), other, key + " value");
        Near(data.Doubles($"{key}.d"), gradient.ToArray(), new bool[rows], key + " d");
        steps?.Step.Value.Dispose();
        steps?.ZeroPoint.Value.Dispose();
    }

    // Where all values of a unit are 0 any zero point is right.
    private static bool IsZero(Tensor x, int row, int unit, int units) =>
        x.RowRange(row, 1).ToArray().AsSpan(unit * (Columns / units), Columns / units).IndexOfAnyExcept(0f) < 0;

    private static StaticSteps Static(Device device, MiniSafetensors data, ActivationGrid grid, string source, RotaryAngles? angles, string key)
    {
        int rows = data.Shape($"calibration_{source}")[0], units = grid.IsPerHead ? Heads : 1;
        using Tensor calibration = device.From(data.Floats($"calibration_{source}"), rows, Columns);
        using var tape = new Tape(device, recording: false);
        float[] values = (angles is null ? calibration : tape.Rotate(new Variable(calibration), angles, HeadSize, rows).Value).ToArray();
        var steps = new float[units];
        var zeros = new float[units];
        for (int unit = 0; unit < units; unit++)
        {
            float[] own = [.. values.Where((_, i) => i % Columns / (Columns / units) == unit)];
            (steps[unit], zeros[unit]) = grid.Of(own.Min(), own.Max());
        }
        if (data.Contains($"{key}.zero")) Assert.Equal(data.Floats($"{key}.zero"), zeros);
        return new StaticSteps(new Variable(device.From(steps, units)), new Variable(device.From(zeros, units)));
    }

    private static RotaryAngles Angles(Device device, int positions, bool interleaved)
    {
        double[] angles = [.. Enumerable.Range(0, positions).SelectMany(p => Enumerable.Range(0, HeadSize / 2).Select(i => p * Math.Pow(10000, -2.0 * i / HeadSize)))];
        return new RotaryAngles(
            device.From([.. angles.Select(angle => (float)Math.Cos(angle))], positions, HeadSize / 2),
            device.From([.. angles.Select(angle => (float)Math.Sin(angle))], positions, HeadSize / 2), interleaved);
    }

    private static void Near(double[] expected, float[] actual, bool[] leftOut, string what)
    {
        double largest = expected.Max(Math.Abs);
        Assert.Contains(false, leftOut);
        for (int i = 0; i < expected.Length; i++)
            Assert.True(leftOut[i / Columns] || Math.Abs(expected[i] - actual[i]) <= 3e-7 * largest, $"{what} [{i}]: {actual[i]:r} for {expected[i]:r}");
    }
}
