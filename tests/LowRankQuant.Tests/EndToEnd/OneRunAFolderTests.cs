using System.Text.Json.Nodes;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>A folder that a run works in is no other's, whatever the other is asked to do; what a killed run left is nobody's.</summary>
public sealed class OneRunAFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task TheSecondIsRefusedAtOnceAndTheFirstGoesOn()
    {
        string output = _folder.File("two"), lockFile = Path.Combine(output, RunFolder.WorkName, "lock"), whole = _folder.File("whole"), adapter = _folder.File("adapter");
        string[] first = Lrq.SmallRun(output, iterations: 200), second = [.. first, "--overwrite"];
        second[Array.IndexOf(second, "3")] = "2";
        using (var run = new LrqProcess(first))
        {
            Assert.True(run.WaitUntil(() => File.Exists(Path.Combine(output, RunFolder.WorkName, "fingerprint.json"))), "the run ended early");
            int owner = (int)JsonNode.Parse(File.ReadAllText(lockFile))!["process"]!;
            // Another recipe, the same one, an export, a correction and a plan.
            CliResult[] refused =
            [
                await Lrq.Run(second),
                await Lrq.Run(first),
                await Lrq.Run("convert", "demo", "--out", output, "--overwrite"),
                await Lrq.Run("correct", "demo", "--reference", "demo", "--rank", "1", "--calibration", Path.Combine(TestData.Demo, "calibration.txt"), "--out", output, "--overwrite"),
                await Lrq.Run("plan", "demo", "--method", "rtn", "--untimed", "--out", output),
            ];
            Assert.All(refused, result =>
            {
                Assert.Equal(2, result.Code);
                string line = Assert.Single(DemoRunTests.Lines(result.Error));
                Assert.StartsWith($"error: {output} is held by process {owner} on {Environment.MachineName} since ", line, StringComparison.Ordinal);
            });
            Assert.False(run.HasExited);
            Assert.Equal(0, (await run.Finish()).Code);
        }
        Assert.False(File.Exists(lockFile));
        Assert.Equal(0, (await Lrq.Run(Lrq.SmallRun(whole, iterations: 200))).Code);
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(output));
        // Now the folder is free, and --overwrite does what it says.
        Assert.Equal(0, (await Lrq.Run("convert", "demo", "--out", adapter)).Code);
        Assert.Equal(0, (await Lrq.Run([.. Lrq.Rounding(output, "--bits", "2"), "--overwrite"])).Code);
        Assert.Contains("\"bits\": 2", File.ReadAllText(Path.Combine(output, RunFolder.RecipeName)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task OfTwoThatStartAtOnceOneRuns()
    {
        string output = _folder.File("race");
        using LrqProcess one = new(Lrq.SmallRun(output, iterations: 100)), two = new(Lrq.SmallRun(output, iterations: 100));
        CliResult[] results = [await one.Finish(), await two.Finish()];
        Assert.Equal([0, 2], results.Select(result => result.Code).Order());
        Assert.Contains("is held by process", Assert.Single(results, result => result.Code == 2).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatAKilledRunHeldIsTakenOverWithANote()
    {
        string output = _folder.File("killed");
        using (var run = new LrqProcess(Lrq.SmallRun(output, iterations: 100_000)))
        {
            Assert.True(run.WaitUntil(() => File.Exists(Path.Combine(output, "heldout.ids.jsonl"))), "the run ended early");
            run.Kill();
        }
        Assert.True(File.Exists(Path.Combine(output, RunFolder.WorkName, "lock")));
        CliResult other = await Lrq.Run(Lrq.Rounding(output));
        Assert.Equal(2, other.Code);
        Assert.Contains("holds another run", other.Error, StringComparison.Ordinal);
        // The refused one has given back what it took over, and the next needs no note.
        CliResult replaced = await Lrq.Run(Lrq.Rounding(output, "--overwrite"));
        Assert.True(replaced.Code == 0, replaced.Error);
        Assert.False(File.Exists(Path.Combine(output, RunFolder.WorkName, "lock")));
        Assert.Contains("which is gone; going on in its place", other.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AJournalOfItemsHasOneWriter()
    {
        string quiz = _folder.File("quiz.json"), items = _folder.File("items.jsonl");
        File.WriteAllText(_folder.File("quiz.csv"), "question,a,b,right\nOne or two?,one,two,0\n");
        File.WriteAllText(quiz, """{"name": "quiz", "file": "quiz.csv", "context": "{{question}}", "choices": ["a", "b"], "answer": "right", "answerForm": "Index"}""");
        string[] command = ["eval", "demo", "--tasks", quiz, "--items", items, "--threads", "1"];
        using (Formats.Holding(items))
        {
            CliResult refused = await Lrq.Run(command);
            Assert.Equal(2, refused.Code);
            Assert.Contains($"{items} is held by process {Environment.ProcessId}", refused.Error, StringComparison.Ordinal);
        }
        CliResult done = await Lrq.Run(command);
        Assert.True(done.Code == 0, done.Error);
        Assert.Equal(["items.jsonl", "quiz.csv", "quiz.json"], Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    private static class Formats
    {
        public static LowRankQuant.Formats.OutputLock Holding(string path) => LowRankQuant.Formats.OutputLock.TakePlace(path);
    }
}
