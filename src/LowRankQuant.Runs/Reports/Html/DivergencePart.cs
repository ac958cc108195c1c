using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Where the result differs from the original: how the divergence is distributed, by confidence, at format tokens, and what became of the lead of the top token.</summary>
internal static class DivergencePart
{
    private const int MostClasses = 24;

    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, EvaluationResult result, DepthReport depth) => sheet.Part("divergence", "Where it differs", () =>
    {
        DivergenceDistribution all = depth.Divergence;
        sheet.Say($"{Figure.Count(all.Positions)} positions, each with two distributions over the next token: the original's and the result's.", "soft");
        sheet.Say(FloorText.Sentence(result));
        sheet.Figures(() =>
        {
            Distribution(sheet, all, result.KlDivergence);
            Confidence(sheet, depth);
            Format(sheet, depth, result);
            Margin(sheet, depth.Margin);
        });
    });

    private static void Distribution(Sheet sheet, DivergenceDistribution all, double? mean)
    {
        (string, double)[] marks = [("half below", all.Median), ("90 % below", all.P90), ("99 % below", all.P99), ("99.9 % below", all.P999)];
        IReadOnlyList<double> edges = DivergenceDistribution.Edges;
        int bins = Math.Min(all.Bins.Count, edges.Count + 1);
        string Range(int bin) => bin == 0 ? $"below {Figure.Number(edges[0], 3)}" : bin == edges.Count ? $"{Figure.Number(edges[^1], 3)} and more" : $"{Figure.Number(edges[bin - 1], 3)} to {Figure.Number(edges[bin], 3)}";
        sheet.Figure(id => HistogramChart.Draw(new ChartFrame("Distribution of KL divergence", "KL divergence of a position, nats", "share of positions") { Id = id, Height = 300 }, edges, all.Bins, marks),
            "Distribution", $"Mean {Figure.Number(mean, 3)}, largest {Figure.Number(all.Largest, 3)} nats. A mean hides its tail: one position in a thousand is worse than {Figure.Number(all.P999, 3)}.",
            new Table("Positions by KL divergence.", [new("nats"), new("positions")], [.. Enumerable.Range(0, bins).Select(bin => new Cell[] { Range(bin), Figure.Count(all.Bins[bin]) })]));
    }

    private static void Confidence(Sheet sheet, DepthReport depth)
    {
        ConfidenceClass[] classes = [.. depth.ByConfidence.Take(MostClasses)];
        if (classes.Length == 0) return;
        string Name(ConfidenceClass one) => $"{Figure.Number(one.Low, 2)} to {Figure.Number(one.High, 2)}";
        sheet.Figure(id => BarChart.Draw(new ChartFrame("KL divergence by confidence of the original", "", "probability of its top token; mean KL, nats") { Id = id },
            [.. classes.Select(one => new Bar(Name(one), one.KlDivergence, Figure.Number(one.KlDivergence, 3)))]),
            "By confidence of the original", "Loss where the original is sure is worse: there was one right answer.",
            new Table("By the probability that the original gives its top token.", [new("probability"), new("positions"), new("KL, nats"), new("same top token")],
                [.. classes.Select(one => new Cell[] { Name(one), Figure.Count(one.Positions), Figure.Number(one.KlDivergence), Figure.Percent(one.Top1Agreement) })]));
    }

    private static void Format(Sheet sheet, DepthReport depth, EvaluationResult result)
    {
        FormatTokens[] kinds = [.. depth.Format.Take(MostClasses)];
        if (kinds.Length == 0)
        {
            sheet.Body.Add($"<figure><figcaption><b>Format tokens.</b> The text holds none: chat turns, tool calls and the like were not measured. A text of conversations has them.</figcaption></figure>");
            return;
        }
        Bar[] bars = [new Bar("all tokens", result.Top1Agreement ?? 0, Figure.Percent(result.Top1Agreement), 7), .. kinds.Select(kind => new Bar(kind.Kind, kind.Top1Agreement, Figure.Percent(kind.Top1Agreement)))];
        sheet.Figure(id => BarChart.Draw(new ChartFrame("Agreement at format tokens", "", "same top token where one is due") { Id = id }, bars, full: 1),
            "Format tokens", "A model that misses these breaks chats and tool calls, whatever its perplexity is.",
            new Table("Positions whose next token carries format.", [new("kind"), new("positions"), new("KL, nats"), new("same top token"), new("tokens", IsLong: true)],
                [.. kinds.Select(kind => new Cell[] { Sheet.Bound(kind.Kind, 60), Figure.Count(kind.Positions), Figure.Number(kind.KlDivergence), Figure.Percent(kind.Top1Agreement), string.Join("  ", kind.Tokens.Take(20).Select(token => Sheet.Bound(token, 60))) })]));
    }

    private static void Margin(Sheet sheet, MarginRatio margin)
    {
        Bar[] bars = [new Bar("original", margin.Reference, $"{Figure.Number(margin.Reference, 3)}", 7), new Bar("result", margin.Model, $"{Figure.Number(margin.Model, 3)}")];
        sheet.Figure(id => BarChart.Draw(new ChartFrame("Lead of the top token", "", "mean lead over the second token, nats") { Id = id }, bars),
            "Lead of the top token", $"Ratio {Figure.Percent(margin.Ratio)}; less than half of the lead is left at {Figure.Percent(margin.Shrunk)} of positions. The lead shrinks before scores fall.",
            new Table("Mean lead of the top token over the second.", [new("model"), new("nats")], [["original", Figure.Number(margin.Reference)], ["result", Figure.Number(margin.Model)], ["ratio", Figure.Percent(margin.Ratio)]]));
    }
}
