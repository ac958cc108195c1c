using System.Globalization;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Benchmarks;

/// <summary>Options of a verb, as pairs "--name value" after it.</summary>
internal sealed class Options
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    public Options(string[] arguments)
    {
        for (int i = 1; i < arguments.Length; i += 2)
        {
            if (!arguments[i].StartsWith("--", StringComparison.Ordinal) || i + 1 == arguments.Length)
            {
                throw new ArgumentException($"'{arguments[i]}' is not an option with a value.");
            }
            _values[arguments[i][2..]] = arguments[i + 1];
        }
    }

    /// <summary>The device that is asked for: --threads, --kernels simd, onednn, blas or scalar.</summary>
    public CpuDevice Device() => new(new CpuDeviceOptions { Threads = Number("threads", 2), Kernels = Enum.Parse<CpuKernelKind>(Text("kernels") ?? nameof(CpuKernelKind.Simd), ignoreCase: true) });

    /// <summary>What linear products are rounded to: --precision fp32 or bf16.</summary>
    public Precision Precision => Text("precision") is "bf16" ? Precision.BFloat16 : Precision.Single;

    public string? Text(string name) => _values.GetValueOrDefault(name);

    public int Number(string name, int otherwise) =>
        _values.TryGetValue(name, out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
