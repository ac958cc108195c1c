using System.Diagnostics;
using LowRankQuant.Fuzz;
using SharpFuzz;

// Usage: HARNESS (under afl-fuzz), HARNESS FILE... (runs each file once and says what comes of it), or seeds FOLDER.
if (args is ["seeds", var folder])
{
    SeedCorpus.Write(folder);
    return 0;
}
if (args.Length == 0 || FuzzTarget.All.FirstOrDefault(known => known.Name == args[0]) is not { } target)
{
    Console.Error.WriteLine($"Say 'seeds FOLDER', or one of {string.Join(", ", FuzzTarget.All.Select(known => known.Name))}, and files to try one by one.");
    return 2;
}
if (args.Length == 1)
{
    using var fuzzed = new Scratch();
    Fuzzer.OutOfProcess.Run(stream =>
    {
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        target.Try(bytes.ToArray(), fuzzed);
    });
    return 0;
}
using var scratch = new Scratch();
int findings = 0;
foreach (string file in args.Skip(1))
{
    long start = Stopwatch.GetTimestamp();
    string outcome;
    try
    {
        outcome = target.Try(File.ReadAllBytes(file), scratch)?.Message ?? "read";
    }
#pragma warning disable CA1031 // Whatever a target does not name is what is looked for.
    catch (Exception failure)
#pragma warning restore CA1031
    {
        outcome = $"FINDING {failure}";
        findings++;
    }
    Console.WriteLine($"{file}: {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms: {outcome}");
}
return findings == 0 ? 0 : 1;
