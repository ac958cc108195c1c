using System.Text.Json;
using System.Text.Json.Nodes;

namespace LowRankQuant.Benchmarks;

/// <summary>JSON lines of a repeated step, of the same form as those of the PyTorch side.</summary>
internal sealed class StepReport(string bench, TimedDevice device)
{
    private readonly List<Dictionary<string, KernelTime>> _kernels = [];
    private readonly List<StopTimes> _totals = [];

    public void About() => Emit(new JsonObject { ["kind"] = "about", ["device"] = device.Name, ["runtime"] = Environment.Version.ToString() });

    /// <summary>One repeat: its parts in order, each with its name and duration. Takes the kernels' times and forgets them there.</summary>
    public void Add(int repeat, params ReadOnlySpan<(string Name, StopTimes Time)> parts)
    {
        var line = new JsonObject { ["kind"] = "time", ["bench"] = bench, ["repeat"] = repeat };
        StopTimes total = default;
        foreach ((string name, StopTimes time) in parts)
        {
            line[name] = time.Wall;
            line[$"{name}_cpu"] = time.Processor;
            total = new StopTimes(total.Wall + time.Wall, total.Processor + time.Processor);
        }
        var kernels = device.Timed.Times.ToDictionary(pair => pair.Key, pair => pair.Value, StringComparer.Ordinal);
        device.Timed.Reset();
        KernelTime product = kernels.GetValueOrDefault("product") ?? new KernelTime();
        line["total"] = total.Wall;
        line["cpu"] = total.Processor;
        line["gemm"] = product.Wall;
        line["gemm_cpu"] = product.Processor;
        line["outside"] = total.Wall - product.Wall;
        line["outside_cpu"] = total.Processor - product.Processor;
        Emit(line);
        _kernels.Add(kernels);
        _totals.Add(total);
    }

    /// <summary>Medians of every kernel's time in a step, in milliseconds, and what no kernel accounts for.</summary>
    public void Breakdown()
    {
        var rows = _kernels.SelectMany(step => step.Keys).Distinct(StringComparer.Ordinal).Select(name => (
            Name: name,
            Calls: _kernels.Max(step => step.GetValueOrDefault(name)?.Calls ?? 0),
            Wall: Median(_kernels.Select(step => step.GetValueOrDefault(name)?.Wall ?? 0)),
            Processor: Median(_kernels.Select(step => step.GetValueOrDefault(name)?.Processor ?? 0)))).ToList();
        rows.Add(("(no kernel)", 0, Median(_totals.Zip(_kernels, (total, step) => total.Wall - step.Values.Sum(time => time.Wall))),
            Median(_totals.Zip(_kernels, (total, step) => total.Processor - step.Values.Sum(time => time.Processor)))));
        var lines = new JsonObject();
        foreach ((string name, int calls, double wall, double processor) in rows.OrderByDescending(row => row.Processor))
        {
            lines[name] = new JsonObject { ["calls"] = calls, ["ms"] = Milliseconds(wall), ["cpu_ms"] = Milliseconds(processor) };
        }
        Emit(new JsonObject { ["kind"] = "breakdown", ["bench"] = bench, ["kernels"] = lines });
    }

    public static void Check(JsonObject values) => Emit(new JsonObject { ["kind"] = "check", ["values"] = values });

    private static double Milliseconds(double seconds) => Math.Round(seconds * 1e3, 3);

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? 0 : (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }

    private static void Emit(JsonObject line)
    {
        line.Insert(0, "side", "lrq");
        Console.WriteLine(line.ToJsonString(new JsonSerializerOptions(JsonSerializerDefaults.Web)));
    }
}
