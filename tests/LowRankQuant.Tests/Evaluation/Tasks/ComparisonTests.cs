using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>Paired differences, and item records on disk.</summary>
public class ComparisonTests
{
    [Fact]
    public void DifferencesArePaired()
    {
        // Right where the bit is set: the model 0,1,2,4, the reference 0,1,3.
        ItemRecord[] own = Records(0b10111), reference = Records(0b01011);
        PairedMetric difference = TaskResult.Of(own, Harness.V04, new Comparison(reference, "the reference")).Against!["acc"];
        Assert.Equal((0.2, 2, 1, 5), (Math.Round(difference.Difference, 12), difference.Better!.Value, difference.Worse!.Value, difference.Items));
        Metric expected = Metric.Mean([0, 0, 1, -1, 1]);
        Assert.Equal(expected.StandardError!.Value, difference.StandardError!.Value, 1e-12);
        Assert.Equal(1, difference.PValue!.Value, 1e-12);
        Assert.Equal(100 * 4 / 3.0, difference.RecoveryPercent!.Value, 1e-9);
    }

    [Fact]
    public void TextsAreComparedByTheirLoss()
    {
        ItemRecord[] own = [Text(0, -1), Text(1, -2)], reference = [Text(0, -2), Text(1, -2.5)];
        TaskResult result = TaskResult.Of(own, Harness.V04, new Comparison(reference, "the reference"));
        Assert.Equal(Math.Exp(1.5), result.Metrics["perplexity"].Value, 1e-12);
        Assert.Equal(-0.75, result.Against!["log_perplexity"].Difference, 1e-12);
        Assert.Equal(0.25, result.Against!["log_perplexity"].StandardError!.Value, 1e-12);
    }

    [Fact]
    public void WhatTheReferenceLacksIsTold()
    {
        var comparison = new Comparison(Records(1), "'old.jsonl'");
        comparison.Check(Item(4, 0));
        Assert.Contains("'old.jsonl' lacks quiz item 5", Assert.Throws<EvaluationException>(() => comparison.Check(Item(5, 0))).Message, StringComparison.Ordinal);
        Assert.Contains("another right choice for quiz item 4", Assert.Throws<EvaluationException>(() => comparison.Check(Item(4, 1))).Message, StringComparison.Ordinal);
        Assert.Contains("twice", Assert.Throws<EvaluationException>(() => new Comparison([.. Records(1), .. Records(1)], "x")).Message, StringComparison.Ordinal);

        static TaskItem Item(int index, int gold) => new("quiz", index, new Question([default, default], gold));
    }

    [Fact]
    public void AJournalGoesOnWhereItStopped()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("items.jsonl");
        ItemRecord[] records = Records(0b10111);
        using (ItemJournal first = ItemJournal.Open(path, "abc"))
        {
            first.Add(records[0]);
            first.Add(records[1]);
        }
        // The end of a process in the middle of a line.
        File.AppendAllText(path + ".journal", records[2].ToJson()[..20]);
        Assert.Throws<RunFolderException>(() => ItemJournal.Open(path, "other").Dispose());
        using (ItemJournal second = ItemJournal.Open(path, "abc"))
        {
            Assert.Equal(2, second.Records.Count);
            foreach (ItemRecord record in records[2..]) second.Add(record);
            second.Finish();
        }
        Assert.Equal(records.Select(record => record.ToJson()), File.ReadAllLines(path));
        Assert.Equal(records.Select(record => record.ToJson()), ItemFile.Read(path).Select(record => record.ToJson()));
        Assert.False(File.Exists(path + ".journal"));
        Assert.Throws<RunFolderException>(() => ItemJournal.Open(path, "abc").Dispose());
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("""{"task":"x","index":1}""")]
    [InlineData("nonsense")]
    public void UnsoundItemFiles(string line)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("items.jsonl"), line + "\n");
        Assert.Contains("items.jsonl', line 1", Assert.Throws<EvaluationException>(() => ItemFile.Read(folder.File("items.jsonl"))).Message, StringComparison.Ordinal);
    }

    private static ItemRecord[] Records(int right) => [.. Enumerable.Range(0, 5).Select(i => new ItemRecord
    {
        Task = "quiz",
        Index = i,
        Gold = 0,
        LogLikelihoods = [-1, -1.5],
        Prediction = (right >> i & 1) == 1 ? 0 : 1,
    })];

    private static ItemRecord Text(int index, double likelihood) => new() { Task = "text", Index = index, Greedy = false, LogLikelihoods = [likelihood] };
}
