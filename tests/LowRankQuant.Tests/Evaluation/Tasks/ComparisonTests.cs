using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Quantization.Storage;

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

        static TaskItem Item(int index, int gold) => new("quiz", index, new Question([new TextPair("q", " a"), new TextPair("q", " b")], gold));
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

    [Fact]
    public void ConventionsOptionsAndDataMustBeTheSame()
    {
        TaskItem item = Item("Why?", "because");
        ItemRecord record = new() { Task = "quiz", Index = 0, Gold = 0, LogLikelihoods = [-1, -2], Prediction = 0, Harness = "v0.4", Data = item.Hash() };
        var comparison = new Comparison([record], "'old.jsonl'");
        comparison.Check(item, "v0.4");
        Assert.Contains("'old.jsonl' was scored by the conventions v0.4 and these items by v0.3", Fails(() => comparison.Check(item, "v0.3")), StringComparison.Ordinal);
        Assert.Contains("was asked with the usual options and these items with chat template", Fails(() => comparison.Check(item, "v0.4", "chat template")), StringComparison.Ordinal);
        Assert.Contains("has another question as quiz item 0 (its data hash differs)", Fails(() => comparison.Check(Item("Why not?", "because"), "v0.4")), StringComparison.Ordinal);
        Assert.Contains("another question", Fails(() => comparison.Check(Item("Why?", "so"), "v0.4")), StringComparison.Ordinal);

        static TaskItem Item(string context, string choice) => new("quiz", 0, new Question([new TextPair(context, " " + choice), new TextPair(context, " not")], 0));
        static string Fails(Action check) => Assert.Throws<EvaluationException>(check).Message;
    }

    // Texts are framed by their lengths: what moves from one to the next is another question.
    [Fact]
    public void TheHashOfAnItemIsThatOfItsTexts()
    {
        string hash = Of("ab", "c", 0);
        Assert.Equal(64, hash.Length);
        Assert.Equal(hash, Of("ab", "c", 0));
        Assert.Equal(4, new HashSet<string> { hash, Of("a", "bc", 0), Of("ab", "c", 1), Of("ab", "d", 0) }.Count);

        static string Of(string context, string choice, int gold) =>
            new TaskItem("quiz", 3, new Question([new TextPair(context, choice), new TextPair(context, "x")], gold)).Hash();
    }

    [Fact]
    public void AFileSaysItsConventionsOrIsTold()
    {
        using var folder = new TemporaryFolder();
        string old = folder.File("old.jsonl"), own = folder.File("own.jsonl"), mixed = folder.File("mixed.jsonl");
        ItemRecord[] records = Records(0b10111), known = [.. records.Select(record => record with { Harness = "v0.3" })];
        File.WriteAllLines(old, records.Select(record => record.ToJson()));
        File.WriteAllLines(own, known.Select(record => record.ToJson()));
        File.WriteAllLines(mixed, [records[0].ToJson(), known[1].ToJson()]);
        Assert.Equal("v0.3", TaskReport.OfItems(own, own, null).Harness);
        Assert.Equal("v0.3", TaskReport.OfItems(own, null, Harness.V03).Harness);
        Assert.Contains("`harness` v0.4: the items of", Fails(() => TaskReport.OfItems(own, null, Harness.V04)), StringComparison.Ordinal);
        Assert.Contains("does not say by whose conventions its items were scored", Fails(() => TaskReport.OfItems(old, null, null)), StringComparison.Ordinal);
        Assert.Contains("say so by `harness` (v0.4, v0.3, hendrycks)", Fails(() => TaskReport.OfItems(own, old, null)), StringComparison.Ordinal);
        TaskReport told = TaskReport.OfItems(own, old, Harness.V03);
        Assert.Contains("keeps neither conventions nor data hash", Assert.Single(told.Notes), StringComparison.Ordinal);
        Assert.Contains("mixes items of the conventions unknown, v0.3", Fails(() => TaskReport.OfItems(mixed, null, null)), StringComparison.Ordinal);
        File.WriteAllLines(old, records.Select(record => (record with { Harness = "v9" }).ToJson()));
        Assert.Contains("names the conventions 'v9', which are not known", Fails(() => TaskReport.OfItems(old, null, null)), StringComparison.Ordinal);

        static string Fails(Action read) => Assert.Throws<EvaluationException>(read).Message;
    }

    [Theory]
    [InlineData("""{"task":"x","index":"one"}""", "its key 'index' is of another type")]
    [InlineData("""{"index":1}""", "keys are missing")]
    [InlineData("""{"task":"x","index":1,"gold":2,"prediction":0,"logLikelihoods":[-1,-2]}""", "'gold' is 2 of 2 choices")]
    [InlineData("""{"task":"x","index":1,"gold":1,"logLikelihoods":[-1,-2]}""", "'prediction' is missing")]
    [InlineData("""{"task":"x","index":1,"gold":1,"prediction":0,"logLikelihoods":[-1,""", "column 67: is no item of `items`: not sound JSON: the text ends within a value")]
    public void UnsoundItemsAreToldInPlainWords(string line, string message)
    {
        string told = Assert.Throws<EvaluationException>(() => ItemFile.Parse(line, "line 1")).Message;
        Assert.Contains(message, told, StringComparison.Ordinal);
        Assert.All(["JSON value could", "System.", "LineNumber", "LowRankQuant"], word => Assert.DoesNotContain(word, told, StringComparison.Ordinal));
    }

    [Fact]
    public void ItemsOfATaskHaveTheSameFigures()
    {
        using var folder = new TemporaryFolder();
        ItemRecord[] records = Records(1);
        File.WriteAllLines(folder.File("a.jsonl"), [records[0].ToJson(), (records[1] with { PredictionNormalized = 1 }).ToJson()]);
        Assert.Contains("line 2: quiz item 1 has the figures acc, acc_norm and the task's first item acc", Assert.Throws<EvaluationException>(() => ItemFile.Read(folder.File("a.jsonl"))).Message, StringComparison.Ordinal);
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
