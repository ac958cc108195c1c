using System.Diagnostics;
using System.Globalization;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// The gated delta rule as a plain loop over tokens and rows of the state, token after token as a step of generation takes it, in chunks, and backward.
/// The forms take turns and the shortest of several repetitions counts, so that whatever else the machine does falls on none of them.
/// </summary>
internal static class DeltaRuleBenchmark
{
    public static int Run(Options options)
    {
        int length = options.Number("length", 512), heads = options.Number("heads", 1), size = options.Number("size", 128), repeats = options.Number("repeats", 15);
        using Device device = options.Device();
        Console.WriteLine($"{device.Name}; {length} tokens, {heads} heads of {size} x {size}; shortest of {repeats}");
        Console.WriteLine("| decay | loop over rows, ns per token and head | token after token | in chunks | loop / chunks | tokens / chunks | backward | backward / chunks |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|");
        foreach (bool channels in new[] { false, true })
        {
            var shape = new DeltaRuleShape(1, length, heads, heads, size, size, channels);
            double[] best = Measure(device, shape, repeats);
            double unit = 1e9 / ((double)length * heads);
            Print(
                $"| per {(channels ? "channel" : "head")} | {best[0] * unit:F0} | {best[1] * unit:F0} | {best[2] * unit:F0} | {best[0] / best[2]:F2} | {best[1] / best[2]:F2} | {best[3] * unit:F0} | {best[3] / best[2]:F2} |");
        }
        Console.WriteLine();
        Console.WriteLine("| tokens | kept for the backward pass beside inputs and outputs, bytes per head | per token and head |");
        Console.WriteLine("|---:|---:|---:|");
        foreach (int tokens in new[] { 512, 4096 })
        {
            long before = device.BytesInUse;
            var shape = new DeltaRuleShape(1, tokens, heads, heads, size, size);
            using (Tensor kept = device.Empty(shape.KeptRows, size))
            {
                double bytes = (device.BytesInUse - before) / (double)heads;
                Print($"| {tokens} | {bytes:F0} | {bytes / tokens:F0} |");
            }
        }
        return 0;
    }

    /// <summary>Shortest times, in seconds: loop over rows, token after token, in chunks with the states kept, backward.</summary>
    private static double[] Measure(Device device, DeltaRuleShape shape, int repeats)
    {
        var random = new Random(1);
        int keys = shape.KeyHeads * shape.KeySize, values = shape.ValueHeads * shape.ValueSize;
        DeltaRuleTerms terms = Terms(), gradients = Terms();
        Tensor y = device.Empty(shape.Rows, values), dy = Values(values, 2, -1), state = device.Zeros(shape.StateRows, shape.ValueSize);
        Tensor kept = device.Empty(shape.KeptRows, shape.ValueSize);
        DeltaRuleShape one = shape with { Length = 1 };
        DeltaRuleTerms[] tokens = [.. Enumerable.Range(0, shape.Length).Select(t => new DeltaRuleTerms(
            terms.Q.RowRange(t, 1), terms.K.RowRange(t, 1), terms.V.RowRange(t, 1), terms.LogDecay.RowRange(t, 1), terms.Beta.RowRange(t, 1)))];
        Tensor[] outputs = [.. Enumerable.Range(0, shape.Length).Select(t => y.RowRange(t, 1))];
        Action[] forms =
        [
            () => DeltaRuleLoop.Run(shape, terms, state, y),
            () =>
            {
                for (int t = 0; t < tokens.Length; t++) device.Kernels.DeltaRuleForward(one, tokens[t], state, outputs[t], state, null);
            },
            () => device.Kernels.DeltaRuleForward(shape, terms, null, y, null, kept),
            () => device.Kernels.DeltaRuleBackward(shape, terms, kept, dy, gradients),
        ];
        double[] best = [.. forms.Select(_ => double.PositiveInfinity)];
        for (int i = 0; i < repeats + 2; i++)
        {
            for (int form = 0; form < forms.Length; form++)
            {
                // Code is compiled again after some calls: the first rounds only warm up.
                for (int call = 0; i < 2 && call < 20; call++) forms[form]();
                long start = Stopwatch.GetTimestamp();
                forms[form]();
                best[form] = Math.Min(best[form], Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }
        return best;

        DeltaRuleTerms Terms() => new(Values(keys, 2, -1), Values(keys, 2, -1), Values(values, 2, -1), Values(shape.DecayColumns, -0.1f, 0), Values(shape.ValueHeads, 1, 0));

        Tensor Values(int columns, float factor, float offset) =>
            device.From([.. Enumerable.Range(0, shape.Rows * columns).Select(_ => (random.NextSingle() * factor) + offset)], shape.Rows, columns);
    }

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));
}
