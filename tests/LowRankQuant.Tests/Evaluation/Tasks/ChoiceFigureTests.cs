using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Results;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>Distributions over the choices of items, compared with the reference's.</summary>
public class ChoiceFigureTests
{
    [Fact]
    public void EqualItemsDoNotDiverge()
    {
        double[][] choices = [[-1, -2.5, -7], [-3, -0.25, -0.5]];
        ItemRecord[] own = [.. choices.Select((values, i) => Item(i, 0, values))], shifted = [.. choices.Select((values, i) => Item(i, 0, [.. values.Select(value => value - 16)]))];
        (PairedMetric divergence, PairedMetric right) = Figures(own, own);
        Assert.Equal((0, 0, 0, 2), (divergence.Difference, divergence.StandardError, divergence.Reference, divergence.Items));
        Assert.Equal((0, 0), (right.Difference, right.StandardError));
        Assert.Null(divergence.LeftOut);
        // Adding the same to all of an item's log-likelihoods is the same distribution.
        (divergence, right) = Figures(own, shifted);
        Assert.Equal(0, divergence.Difference, 1e-12);
        Assert.Equal(0, right.Difference, 1e-12);
    }

    [Fact]
    public void ByHand()
    {
        // Of the reference 1/2, 1/2 and 1/4, 3/4; of the model 1/4, 3/4 and 1/2, 1/2, each in front of some factor that drops out.
        ItemRecord[] other = [Item(0, 0, [Math.Log(0.5) - 9, Math.Log(0.5) - 9]), Item(1, 1, [Math.Log(0.25), Math.Log(0.75)])];
        ItemRecord[] own = [Item(0, 0, [Math.Log(0.25) - 2, Math.Log(0.75) - 2]), Item(1, 1, [Math.Log(0.5), Math.Log(0.5)])];
        double first = 0.5 * Math.Log(4.0 / 3), second = (0.25 * Math.Log(0.5)) + (0.75 * Math.Log(1.5));
        (PairedMetric divergence, PairedMetric right) = Figures(own, other);
        Assert.Equal((first + second) / 2, divergence.Difference, 1e-12);
        Assert.Equal(Math.Abs(first - second) / 2, divergence.StandardError!.Value, 1e-12);
        // ln(1/4) - ln(1/2) and ln(1/2) - ln(3/4).
        double[] gains = [-Math.Log(2), Math.Log(2.0 / 3)];
        Assert.Equal(gains.Average(), right.Difference, 1e-12);
        Assert.Equal(Math.Abs(gains[0] - gains[1]) / 2, right.StandardError!.Value, 1e-12);
        Assert.Equal((Math.Log(0.5) + Math.Log(0.75)) / 2, right.Reference, 1e-12);
    }

    // The reference comes first: the other way round is another number.
    [Fact]
    public void TheDivergenceIsFromTheReference()
    {
        ItemRecord[] flat = [Item(0, 0, [0, 0])], sure = [Item(0, 0, [Math.Log(9), 0])];
        Assert.Equal(0.5 * Math.Log(25.0 / 9), Figures(sure, flat).Divergence.Difference, 1e-12);
        Assert.Equal((0.9 * Math.Log(1.8)) + (0.1 * Math.Log(0.2)), Figures(flat, sure).Divergence.Difference, 1e-12);
    }

    [Fact]
    public void WhatIsNotFiniteIsLeftOutAndCounted()
    {
        double none = double.NegativeInfinity;
        // In order: sound; no probability for a wrong choice; the reference has none there; none for the right one; no distribution; other choices.
        ItemRecord[] own = [Item(0, 0, [0, 0]), Item(1, 0, [0, none]), Item(2, 0, [0, 0]), Item(3, 0, [none, 0]), Item(4, 0, [none, none]), Item(5, 0, [0, 0, 0])];
        ItemRecord[] other = [Item(0, 0, [0, 0]), Item(1, 0, [0, 0]), Item(2, 0, [0, none]), Item(3, 0, [0, 0]), Item(4, 0, [0, double.NaN]), Item(5, 0, [0, 0])];
        (PairedMetric divergence, PairedMetric right) = Figures(own, other);
        Assert.Equal((2, 4), (divergence.Items, divergence.LeftOut));
        Assert.Equal(Math.Log(2) / 2, divergence.Difference, 1e-12);
        Assert.Equal((3, 3), (right.Items, right.LeftOut));
        Assert.Equal((Math.Log(2) - Math.Log(2)) / 3, right.Difference, 1e-12);
        IReadOnlyDictionary<string, PairedMetric> nothing = Against([own[3]], [other[3]]);
        Assert.False(nothing.ContainsKey(ChoiceFigure.Divergence) || nothing.ContainsKey(ChoiceFigure.RightChoice));
        Assert.True(nothing.ContainsKey("acc"));
    }

    // The harness's rule for groups, as for accuracies: deviations are those within the subjects.
    [Fact]
    public void SubjectsArePooled()
    {
        string[] subjects = ["anatomy", "anatomy", "virology", "virology"];
        double[] gaps = [1, 2, 0.5, 4];
        ItemRecord[] other = [.. gaps.Select((_, i) => Item(i, 0, [0, 0, 0, 0]) with { Task = "mmlu", Subject = subjects[i] })];
        ItemRecord[] own = [.. gaps.Select((gap, i) => Item(i, 0, [gap, 0, 0, 0]) with { Task = "mmlu", Subject = subjects[i] })];
        double[] gains = [.. gaps.Select(gap => gap - Math.Log((Math.Exp(gap) + 3) / 4))];
        Metric expected = Metric.Pooled([gains[..2], gains[2..]]);
        PairedMetric right = Figures(own, other).Right;
        Assert.Equal(expected.Value, right.Difference, 1e-12);
        Assert.Equal(expected.StandardError!.Value, right.StandardError!.Value, 1e-12);
        TaskResult parts = TaskResult.Of(own, Harness.V04, new Comparison(other, "x"));
        Assert.Equal((gains[2] + gains[3]) / 2, parts.Subjects!["virology"].Against![ChoiceFigure.RightChoice].Difference, 1e-12);
    }

    [Fact]
    public void TextsHaveNoChoices()
    {
        ItemRecord text = new() { Task = "text", Index = 0, Greedy = false, LogLikelihoods = [-1] };
        Assert.Equal(["acc", "log_perplexity"], Against([text], [text]).Keys);
    }

    [Fact]
    public void TheTableShowsThem()
    {
        ItemRecord[] other = [Item(0, 0, [0, 0]), Item(1, 0, [0, 0])], own = [Item(0, 0, [Math.Log(9), 0]), Item(1, 0, [0, double.NegativeInfinity])];
        var tasks = new Dictionary<string, TaskResult> { ["quiz"] = TaskResult.Of(own, Harness.V04, new Comparison(other, "x")) };
        string table = TaskTable.Of(TaskReport.Of(Harness.V04, tasks, []));
        Assert.Contains("choice KL", table, StringComparison.Ordinal);
        Assert.Contains("right choice log p", table, StringComparison.Ordinal);
        Assert.Contains("0.5108 (1 left out)", table, StringComparison.Ordinal);
        Assert.Matches(@"\+0\.640\d ± 0\.053", table);
        string alone = TaskTable.Of(TaskReport.Of(Harness.V04, new Dictionary<string, TaskResult> { ["quiz"] = TaskResult.Of(own, Harness.V04, null) }, []));
        Assert.DoesNotContain("choice KL", alone, StringComparison.Ordinal);
    }

    private static (PairedMetric Divergence, PairedMetric Right) Figures(ItemRecord[] own, ItemRecord[] other)
    {
        IReadOnlyDictionary<string, PairedMetric> against = Against(own, other);
        return (against[ChoiceFigure.Divergence], against[ChoiceFigure.RightChoice]);
    }

    private static IReadOnlyDictionary<string, PairedMetric> Against(ItemRecord[] own, ItemRecord[] other) => TaskResult.Of(own, Harness.V04, new Comparison(other, "the reference")).Against!;

    private static ItemRecord Item(int index, int gold, double[] likelihoods) => new() { Task = "quiz", Index = index, Gold = gold, Prediction = 0, LogLikelihoods = likelihoods };
}
