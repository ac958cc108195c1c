using System.Security.Cryptography;
using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>What a command line gave.</summary>
internal sealed record CliResult(int Code, string Out, string Error);

/// <summary>The whole program, real engine included, in this process.</summary>
internal static class Lrq
{
    /// <summary>A run of LRQ on the demo that takes seconds. One thread, because other tests run beside it.</summary>
    public static string[] SmallRun(string output, int threads = 1, int iterations = 10) =>
    [
        "quantize", "demo", "--method", "lrq", "--bits", "3", "--iterations", $"{iterations}", "--samples", "8", "--held-out", "2",
        "--sequence-length", "64", "--rank", "16", "--eval-windows", "1", "--threads", $"{threads}", "--out", output,
    ];

    /// <summary>Round to nearest on the demo, measured on one window.</summary>
    public static string[] Rounding(string output, params string[] more) =>
        ["quantize", "demo", "--method", "rtn", "--eval-windows", "1", "--threads", "1", "--out", output, .. more];

    public static async Task<CliResult> Run(params string[] args)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        int code = await new App(new Terminal(output, error, false, false), Engine.Default).RunAsync(args, TestContext.Current.CancellationToken);
        return new CliResult(code, output.ToString(), error.ToString());
    }

    /// <summary>SHA-256 of every file of a run that depends on nothing but the run: all but reports (they hold times) and the log.</summary>
    public static SortedDictionary<string, string> Bytes(string folder) =>
        Hashes(folder, name => Path.GetFileName(name) is not ("report.json" or "report.md" or "report.html" or "README.md" or "run.log"));

    /// <summary>SHA-256 of files by path within the folder.</summary>
    public static SortedDictionary<string, string> Hashes(string folder, Func<string, bool>? include = null)
    {
        var hashes = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (string file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            string name = Path.GetRelativePath(folder, file);
            if (include?.Invoke(name) != false) hashes.Add(name, Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(file))));
        }
        return hashes;
    }
}
