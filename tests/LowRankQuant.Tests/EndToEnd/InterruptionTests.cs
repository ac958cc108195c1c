using System.Diagnostics;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs that are killed or stopped and started again give the bytes of a run left alone.</summary>
public sealed class InterruptionTests
{
    private static readonly string Blocks = Path.Combine(RunFolder.WorkName, "blocks");

    /// <summary>Where a run is when it is killed: after the file has appeared, and a random time of up to so many milliseconds later.</summary>
    private static readonly (string File, int Milliseconds)[] Moments =
    [
        ("", 400),
        (Path.Combine(RunFolder.WorkName, "fingerprint.json"), 0),
        ("heldout.ids.jsonl", 300),
        (Path.Combine(Blocks, "block-00000.json"), 0),
        (Path.Combine(Blocks, "block-00001.safetensors"), 200),
        (Path.Combine(Blocks, "block-00003.safetensors"), 20),
        (RunFolder.RecipeName, 0),
        ("config.json", 300),
    ];

    [Fact]
    public async Task AKilledRunGoesOnToTheSameBytes()
    {
        using var folder = new TemporaryFolder();
        string whole = folder.File("whole"), killed = folder.File("killed");
        Assert.Equal(0, (await Lrq.Run(Lrq.SmallRun(whole))).Code);
        var random = new Random(20240229);
        int kills = 0;
        foreach ((string file, int milliseconds) in Moments)
        {
            using var run = new LrqProcess(Lrq.SmallRun(killed));
            if (!run.WaitUntil(() => file.Length == 0 || File.Exists(Path.Combine(killed, file)))) continue;
            long start = Stopwatch.GetTimestamp();
            int delay = random.Next(milliseconds + 1);
            if (!run.WaitUntil(() => Stopwatch.GetElapsedTime(start).TotalMilliseconds >= delay)) continue;
            run.Kill();
            kills++;
        }
        // The last moments lie close to the end: a run may have finished first.
        Assert.InRange(kills, 5, Moments.Length);
        using var last = new LrqProcess(Lrq.SmallRun(killed));
        CliResult finished = await last.Finish();
        Assert.True(finished.Code == 0, finished.Error);
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(killed));
    }

    [Fact]
    public async Task CtrlCStopsAndTheSameCommandGoesOn()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Ctrl-C of another process cannot be pressed there.");
        using var folder = new TemporaryFolder();
        string whole = folder.File("whole"), stopped = folder.File("stopped");
        Assert.Equal(0, (await Lrq.Run(Lrq.SmallRun(whole))).Code);
        // So many steps that the signal cannot miss the first block.
        string slow = folder.File("slow");
        using (var run = new LrqProcess(Lrq.SmallRun(slow, iterations: 100_000)))
        {
            Assert.True(run.WaitUntil(() => File.Exists(Path.Combine(slow, "heldout.ids.jsonl"))));
            run.PressCtrlC();
            CliResult result = await run.Finish();
            Assert.Equal(130, result.Code);
            Assert.Contains("the same command goes on from there", result.Error, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        }
        using (var run = new LrqProcess(Lrq.SmallRun(stopped)))
        {
            if (run.WaitUntil(() => File.Exists(Path.Combine(stopped, Blocks, "block-00000.safetensors")))) run.PressCtrlC();
            Assert.Equal(130, (await run.Finish()).Code);
        }
        Assert.False(File.Exists(Path.Combine(stopped, "report.json")));
        CliResult finished = await Lrq.Run(Lrq.SmallRun(stopped));
        Assert.True(finished.Code == 0, finished.Error);
        Assert.Contains("going on from there", finished.Out, StringComparison.Ordinal);
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(stopped));
    }

    [Fact]
    public void AFolderOfARunThatDiedBeforeItHadAFingerprintIsTaken()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("run");
        var fingerprint = new RunFingerprint("model", "data", "recipe", "engine", "format");
        Directory.CreateDirectory(Path.Combine(output, Blocks));
        File.WriteAllText(Path.Combine(output, RunFolder.WorkName, "fingerprint.json.partial"), "{\"mo");
        Assert.Equal(output, RunFolder.Open(output, fingerprint, overwrite: false).Output);
        Assert.Equal(output, RunFolder.Open(output, fingerprint, overwrite: false).Output);
        Assert.Throws<RunFolderException>(() => RunFolder.Open(output, fingerprint with { Recipe = "other" }, overwrite: false));
    }
}
