using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Kernels.Scalar;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Fake quantizer and Adam against an independent implementation.</summary>
public class KernelGoldenTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    public static TheoryData<string> FakeQuantizeFiles => ["16x24", "16x24.group", "33x47", "33x48.group", "128x384", "128x384.group"];

    [Theory]
    [MemberData(nameof(FakeQuantizeFiles))]
    public void FakeQuantizer(string file)
    {
        var data = new MiniSafetensors(TestData.Path("golden", "lrq", $"fakequant-{file}.safetensors"));
        string[] cases = [.. data.Names.Where(name => name.EndsWith(".code", StringComparison.Ordinal)).Select(name => name[..^5]).Some()];
        Assert.NotEmpty(cases);
        foreach (string key in cases)
        {
            Check(data, key, twins.Scalar);
            foreach (int bits in KernelTwins.Widths) Check(data, key, twins.Simd(bits, 2));
        }
    }

    [Theory]
    [MemberData(nameof(FakeQuantizeFiles))]
    public void FakeQuantizerInDoublePrecision(string file)
    {
        var data = new MiniSafetensors(TestData.Path("golden", "lrq", $"fakequant-{file}.safetensors"));
        foreach (string key in data.Names.Where(name => name.EndsWith(".code", StringComparison.Ordinal)).Select(name => name[..^5]).Some())
        {
            double[] Get(string name) => data.Contains($"{key}.{name}") ? data.Doubles($"{key}.{name}") : [];
            (int rows, int columns, int maxCode) = Sizes(data, key);
            double[] scale = Get("log_s1"), zero = Zero(data, key, maxCode), low = Get("L2"), up = Get("U2"), delta = Get("S2");
            int rank = low.Length / rows;
            if (delta.Length == 0)
            {
                delta = new double[rows * columns];
                Reference.MatMul<double>(low, false, up, false, rows, columns, rank, delta, false);
            }
            double[] quantized = new double[rows * columns], residue = new double[rows * columns], g = data.Doubles(Upstream(data, key));
            double[] dScale = new double[scale.Length], dRow = new double[rows], dColumn = new double[columns], dLow = new double[low.Length];
            double[] dUp = new double[up.Length];
            Reference.FakeQuantizeForward<double>(Get("W"), columns, scale, zero, delta, Get("r2"), Get("c2"), maxCode, quantized, residue);
            Reference.FakeQuantizeBackward<double>(g, columns, quantized, residue, delta, dScale, dRow, dColumn);
            Reference.MatMul<double>(delta, false, up, true, rows, rank, columns, dLow, false);
            Reference.MatMul<double>(low, true, delta, false, rank, columns, rows, dUp, false);
            (string Name, double[] Actual)[] results =
            [
                ("What", quantized), ("dlog_s1", dScale), ("dr2", dRow), ("dc2", dColumn), ("dL2", dLow), ("dU2", dUp), ("dS2", delta),
            ];
            foreach ((string name, double[] actual) in results)
            {
                double[] expected = Get(name);
                double largest = expected.Length == 0 ? 0 : expected.Max(Math.Abs);
                for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= 1e-7 * largest, $"{key}.{name}[{i}]");
            }
        }
    }

    [Theory]
    [InlineData("T20")]
    [InlineData("T50")]
    public void AdamWithCosineRates(string trace)
    {
        var data = new MiniSafetensors(TestData.Path("golden", "lrq", "adam_cosine.safetensors"));
        string key = data.Names.First(name => name.Contains($"{trace}.f32", StringComparison.Ordinal) && name.EndsWith(".x", StringComparison.Ordinal))[..^2];
        float[] x = data.Floats($"{key}.x"), g = data.Floats($"{key}.g"), m = data.Floats($"{key}.m");
        float[] v = data.Floats($"{key}.v"), rates = data.Floats($"{key}.lr");
        int n = data.Shape($"{key}.x")[1];
        foreach (IKernels kernels in KernelTwins.Widths.Select(bits => twins.Simd(bits, 1)).Append(twins.Scalar))
        {
            Tensor parameters = twins.From(x[..n], n), first = twins.From(new float[n], n), second = twins.From(new float[n], n);
            for (int step = 0; step < rates.Length; step++)
            {
                kernels.AdamStep(new AdamArguments
                {
                    Parameters = parameters,
                    Gradient = twins.From(g[(step * n)..((step + 1) * n)], n),
                    FirstMoment = first,
                    SecondMoment = second,
                    Rate = rates[step],
                    Step = step + 1,
                    Beta1 = 0.9f,
                    Beta2 = 0.999f,
                    Epsilon = 1e-8f,
                });
                KernelTwins.Near(x[((step + 1) * n)..((step + 2) * n)], parameters.ToArray(), 1e-6, $"{kernels.Name} x after step {step}");
                KernelTwins.Near(m[(step * n)..((step + 1) * n)], first.ToArray(), 1e-6, $"{kernels.Name} m after step {step}");
                KernelTwins.Near(v[(step * n)..((step + 1) * n)], second.ToArray(), 1e-6, $"{kernels.Name} v after step {step}");
            }
        }
    }

    private static (int Rows, int Columns, int MaxCode) Sizes(MiniSafetensors data, string key)
    {
        int[] shape = data.Shape($"{key}.W");
        string bits = key.Split('.').First(part => part[0] == 'b');
        return (shape[0], shape[1], (1 << int.Parse(bits[1..])) - 1);
    }

    private static double[] Zero(MiniSafetensors data, string key, int maxCode)
    {
        if (data.Contains($"{key}.zero")) return data.Doubles($"{key}.zero");
        var zero = new double[data.Doubles($"{key}.log_s1").Length];
        Array.Fill(zero, (maxCode + 1) / 2);
        return zero;
    }

    private static string Upstream(MiniSafetensors data, string key) => data.Contains($"{key}.G") ? $"{key}.G" : $"{key.Split('.')[0]}.G";

    private void Check(MiniSafetensors data, string key, IKernels kernels)
    {
        (int rows, int columns, int maxCode) = Sizes(data, key);
        Tensor? Get(string name, params int[] shape) => data.Contains($"{key}.{name}") ? twins.From(data.Floats($"{key}.{name}"), shape) : null;
        int groups = data.Shape($"{key}.log_s1")[1];
        float[] zero = [.. Zero(data, key, maxCode).Select(value => (float)value)];
        Tensor? low = data.Contains($"{key}.L2") ? Get("L2", data.Shape($"{key}.L2")) : null;
        Tensor? up = low is null ? null : Get("U2", data.Shape($"{key}.U2"));
        Tensor delta = Get("S2", rows, columns) ?? twins.Empty(rows, columns);
        if (low is not null) kernels.MatMul(low, false, up!, false, delta, false);
        Tensor quantized = twins.Empty(rows, columns), residue = twins.Empty(rows, columns);
        var arguments = new FakeQuantizeArguments
        {
            Weight = Get("W", rows, columns)!,
            LogScale = Get("log_s1", rows, groups)!,
            Zero = twins.From(zero, rows, groups),
            Delta = delta,
            RowOffset = Get("r2", rows),
            ColumnOffset = Get("c2", columns),
            MaxCode = maxCode,
            Quantized = quantized,
            Residue = residue,
        };
        Tensor dScale = twins.Empty(rows, groups), dRow = twins.Empty(rows), dColumn = twins.Empty(columns);
        kernels.FakeQuantizeForward(arguments);
        kernels.FakeQuantizeBackward(arguments, new FakeQuantizeGradients
        {
            Upstream = twins.From(data.Floats(Upstream(data, key)), rows, columns),
            Delta = residue,
            LogScale = dScale,
            RowOffset = dRow,
            ColumnOffset = dColumn,
        });

        float[] what = quantized.ToArray(), expected = data.Floats($"{key}.What"), codes = data.Floats($"{key}.code");
        float[] logScale = data.Floats($"{key}.log_s1");
        int groupSize = columns / groups;
        for (int i = 0; i < what.Length; i++)
        {
            float code = MathF.Round(what[i] / MathF.Exp(logScale[i / groupSize])) + zero[i / groupSize];
            if (code != codes[i]) Assert.Fail($"{kernels.Name} {key} code [{i}]: {code}, not {codes[i]}");
            if (Math.Abs(what[i] - expected[i]) <= 1e-6 * Math.Abs(expected[i])) continue;
            Assert.Fail($"{kernels.Name} {key} What[{i}]: {what[i]:r}, not {expected[i]:r}");
        }
        Near("dlog_s1", dScale);
        Near("dr2", dRow);
        if (data.Contains($"{key}.dS2")) Near("dS2", residue);
        if (low is null) return;
        Tensor dLow = twins.Empty(rows, low.Columns), dUp = twins.Empty(low.Columns, columns);
        kernels.MatMul(residue, false, up!, true, dLow, false);
        kernels.MatMul(low, true, residue, false, dUp, false);
        Near("dL2", dLow);
        Near("dU2", dUp);
        Near("dc2", dColumn);

        void Near(string name, Tensor actual) =>
            KernelTwins.Near(data.Floats($"{key}.{name}"), actual.ToArray(), 2e-6, $"{kernels.Name} {key}.{name}");
    }
}
