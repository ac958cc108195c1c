using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Blocks of a finished run done again: the same bytes as a run of the joined recipe from its beginning, whatever the method, and nothing lost on the way.</summary>
public sealed class RedoBlocksTests : IDisposable
{
    private const string Windows = "--samples 8 --held-out 2 --sequence-length 64";
    private const string Lrq3 = $"--method lrq --bits 3 --iterations 3 --rank 8 {Windows}";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("--method rtn", "--redo-blocks 1 --bits 8", 3)]
    [InlineData("--method rtn", "--redo-blocks 1 --method lrq --iterations 3 --rank 8", 1)]
    [InlineData("--method rtn", "--redo-blocks 1 --layers v_proj=keep", 3)]
    [InlineData("--method rtn --layers v_proj=keep", "--redo-blocks 1 --bits 8", 3)]
    [InlineData("--method rtn --layers layers.2.*=keep", "--redo-blocks 2 --layers mlp.*=8:64", 3)]
    [InlineData("--grid q4_k --method rtn", "--redo-blocks 2 --grid q6_k", 3)]
    [InlineData($"{Lrq3} --layers down_proj=4", "--redo-blocks 3 --layers v_proj=5 --method flexround", 3)]
    [InlineData($"{Lrq3} --tune-steps 2 --tune-samples 8", "--redo-blocks 2 --iterations 6", 2)]
    [InlineData($"{Lrq3} --embedding 8 --head 8", "--redo-blocks 2 --seed 7", 2)]
    [InlineData($"--method flrq --bits 3 --rank 4 --rank-rule fixed --epochs 1 {Windows}", "--redo-blocks 2 --rank 8", 2)]
    [InlineData($"--scheme w8a8 --method lrq --iterations 3 --rank 8 {Windows}", "--redo-blocks 1,3 --iterations 5 --per-token down_proj", 1)]
    public async Task TheBytesAreThoseOfTheJoinedRecipe(string options, string again, int kept)
    {
        string output = _folder.File("out"), scratch = _folder.File("scratch");
        await Run(output, options);
        SortedDictionary<string, string> before = Tensors(output);
        CliResult redone = await Run(output, again);
        Assert.Contains($"{kept} of 4 blocks are kept", redone.Out, StringComparison.Ordinal);
        Assert.NotEqual(before, Tensors(output));
        await Run(scratch, $"--recipe {output}");
        Assert.Equal(Tensors(scratch), Tensors(output));
        Assert.Equal(File.ReadAllText(Path.Combine(scratch, "recipe.json")), File.ReadAllText(Path.Combine(output, "recipe.json")));
        JsonNode one = Report(output), other = Report(scratch);
        Assert.Equal((double)other["result"]!["klDivergence"]!, (double)one["result"]!["klDivergence"]!);
        // A block that is kept has what was measured of it then.
        Assert.Equal(Losses(other).Skip(kept), Losses(one).Skip(kept));

        static IEnumerable<double?> Losses(JsonNode report) => report["blocks"]!.AsArray().Select(block => (double?)block!["lossAfter"]);
    }

    [Theory]
    [InlineData(Lrq3)]
    [InlineData($"--method flrq+ --target-bits 3.1 --tune-steps 2 --tune-samples 8 {Windows}")]
    public async Task WithoutOtherOptionsTheSameComesOut(string options)
    {
        string output = _folder.File("out");
        await Run(output, options);
        SortedDictionary<string, string> before = Tensors(output);
        Assert.Contains("block 2 done again", (await Run(output, "--redo-blocks 2")).Out, StringComparison.Ordinal);
        Assert.Equal(before, Tensors(output));
    }

    [Fact]
    public async Task ASecondTimeJoinsTheFirst()
    {
        string output = _folder.File("out"), once = _folder.File("once");
        await Run(output, Lrq3);
        await Run(output, "--redo-blocks 2 --iterations 6 --bits 4");
        await Run(output, "--redo-blocks 2 --rank 4");
        JsonNode recipe = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "recipe.json")))!;
        JsonNode own = Assert.Single(recipe["blocks"]!.AsArray())!;
        Assert.Equal(("2", 6, 4), ((string)own["blocks"]!, (int)own["stage"]!["lrq"]!["iterations"]!, (int)own["stage"]!["lrq"]!["rank"]!));
        Assert.Contains("block 2: lrq", (string)Report(output)["ownBlocks"]![0]!, StringComparison.Ordinal);
        await Run(once, $"--recipe {output}");
        Assert.Equal(Tensors(once), Tensors(output));
    }

    [Fact]
    public async Task StoppedOnTheWayItGoesOnAndTheResultIsWholeUntilThen()
    {
        string output = _folder.File("out"), whole = _folder.File("whole");
        await Run(output, Lrq3);
        await Run(whole, Lrq3);
        SortedDictionary<string, string> before = Tensors(output);
        string[] again = Interrupt(output, "--redo-blocks 1 --iterations 200");
        Assert.Equal(before, Tensors(output));
        CliResult resumed = await Lrq.Run(again);
        Assert.True(resumed.Code == 0, resumed.Error);
        Assert.DoesNotContain("done again", resumed.Out, StringComparison.Ordinal);
        await Run(whole, "--redo-blocks 1 --iterations 200");
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(output));
    }

    /// <summary>An interrupted redo is not the finished run, and one of other options leaves it as it is: it still goes on, to what its own recipe says.</summary>
    [Fact]
    public async Task OtherOptionsBesideAnInterruptedRedoAreRefusedAndItGoesOn()
    {
        string output = _folder.File("out"), scratch = _folder.File("scratch");
        await Run(output, Lrq3);
        string[] first = Interrupt(output, "--redo-blocks 1 --iterations 200");
        SortedDictionary<string, string> interrupted = Left(output);
        CliResult other = await Lrq.Run(Command(output, "--redo-blocks 2 --iterations 6"));
        Assert.Equal(2, other.Code);
        Assert.Contains("holds another run", other.Error, StringComparison.Ordinal);
        Assert.Equal(interrupted, Left(output));
        CliResult resumed = await Lrq.Run(first);
        Assert.True(resumed.Code == 0, resumed.Error);
        await Run(scratch, $"--recipe {output}");
        Assert.Equal(Tensors(scratch), Tensors(output));
    }

    /// <summary>
    /// Where an interrupted redo has the recipe of the finished run, or was killed before it had put its own identity there, one of other options begins again from the result.
    /// </summary>
    [Theory]
    [InlineData("--redo-blocks 1", false)]
    [InlineData("--redo-blocks 1 --iterations 200", true)]
    public async Task OtherOptionsBeginAgainFromTheResult(string interrupted, bool early)
    {
        string output = _folder.File("out"), scratch = _folder.File("scratch");
        await Run(output, early ? Lrq3 : Lrq3.Replace("--iterations 3", "--iterations 100", StringComparison.Ordinal));
        string fingerprint = Path.Combine(output, RunFolder.WorkName, "fingerprint.json");
        byte[] finished = File.ReadAllBytes(fingerprint);
        Interrupt(output, interrupted);
        if (early) File.WriteAllBytes(fingerprint, finished);
        CliResult redone = await Run(output, "--redo-blocks 2 --iterations 6");
        Assert.Contains("2 of 4 blocks are kept", redone.Out, StringComparison.Ordinal);
        await Run(scratch, $"--recipe {output}");
        Assert.Equal(Tensors(scratch), Tensors(output));
    }

    [Fact]
    public async Task WhatCannotBeIsToldAndNothingIsTouched()
    {
        (string Again, string Expected)[] cases =
        [
            ("--redo-blocks 1 --preset paper", "--preset is a matter of all blocks"),
            ("--redo-blocks 1 --scheme w8a8", "--scheme is a matter of all blocks"),
            ("--redo-blocks 4", "blocks 0 to 3"),
            ("--redo-blocks 2-1", "numbers of blocks"),
            ("--redo-blocks 1 --rank-rule fixed", "--rank-rule does not apply to method lrq"),
            ("--redo-blocks 1 --bits 9", "--bits 9: must be 2 to 8"),
            ("--redo-blocks 1 --method flrq+ --target-bits 3", "looks at the whole model"),
            ("--redo-blocks 1 --calibration self", "the run has its text"),
            ("--redo-blocks 1 --recipe w4a16-lrq", "the recipe is that of the run"),
            ("--redo-blocks 1 --overwrite", "deletes the run"),
            ("--redo-blocks 1 --layers lm_head=4", "no linear of the blocks that are done again"),
        ];
        string output = _folder.File("out");
        await Run(output, Lrq3);
        SortedDictionary<string, string> before = Lrq.Hashes(output);
        foreach ((string again, string expected) in cases)
        {
            CliResult refused = await Lrq.Run(Command(output, again));
            Assert.Equal((again, 2), (again, refused.Code));
            Assert.Contains(expected, refused.Error, StringComparison.Ordinal);
            Assert.Equal(before, Lrq.Hashes(output));
        }
    }

    [Fact]
    public async Task AnotherOrADamagedRunIsRefused()
    {
        string output = _folder.File("out");
        CliResult none = await Lrq.Run(Command(output, "--redo-blocks 1"));
        Assert.Equal(2, none.Code);
        Assert.Contains("holds no finished run", none.Error, StringComparison.Ordinal);
        await Run(output, Lrq3);
        string tensors = Path.Combine(output, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(tensors);
        bytes[^1] ^= 1;
        File.WriteAllBytes(tensors, bytes);
        CliResult damaged = await Lrq.Run(Command(output, "--redo-blocks 1"));
        Assert.Equal(2, damaged.Code);
        Assert.Contains("SHA-256", damaged.Error, StringComparison.Ordinal);
        bytes[^1] ^= 1;
        File.WriteAllBytes(tensors, bytes);
        File.Delete(Path.Combine(output, RunFolder.ReportName));
        CliResult unfinished = await Lrq.Run(Command(output, "--redo-blocks 1"));
        Assert.Equal(2, unfinished.Code);
        Assert.Contains("not finished", unfinished.Error, StringComparison.Ordinal);
    }

    private static async Task<CliResult> Run(string output, string options)
    {
        CliResult run = await Lrq.Run(Command(output, options));
        Assert.True(run.Code == 0, run.Error);
        return run;
    }

    // Kills it once it has done the first of its blocks, which is block 1.
    private static string[] Interrupt(string output, string options)
    {
        string[] again = Command(output, options);
        using var run = new LrqProcess(again);
        Assert.True(run.WaitUntil(() => File.Exists(Path.Combine(output, RunFolder.WorkName, "blocks", "block-00001.safetensors"))));
        run.Kill();
        Assert.False(File.Exists(Path.Combine(output, RunFolder.ReportName)));
        return again;
    }

    private static string[] Command(string output, string options) => ["quantize", "demo", "--eval-windows", "1", "--threads", "1", "--out", output, .. options.Split(' ')];

    private static SortedDictionary<string, string> Tensors(string output) => Lrq.Hashes(output, name => name.EndsWith(".safetensors", StringComparison.Ordinal) && !name.StartsWith('.'));

    // A process that was killed leaves its lock, and the next one takes it.
    private static SortedDictionary<string, string> Left(string output) => Lrq.Hashes(output, name => Path.GetFileName(name) is not (OutputLock.FileName or "run.log"));

    private static JsonNode Report(string output) => JsonNode.Parse(File.ReadAllText(Path.Combine(output, RunFolder.ReportName)))!;
}
