using System.Globalization;
using System.Text;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>Figures in depth, engines and tasks as Markdown; empty where a report has none.</summary>
internal static class DepthMarkdown
{
    private const int Most = 40, LongestText = 600;

    /// <summary>Writes them.</summary>
    public static string Write(RunReport report)
    {
        var text = new StringBuilder();
        if (report.Engines is { Count: > 0 } engines)
        {
            Line($"\n## Engines\n\n| engine | verdict | why |\n| --- | --- | --- |");
            foreach (EngineReport engine in engines.Take(Most)) Line($"| {Plain(engine.Engine)} | {Plain(engine.Verdict)} | {Plain(engine.Reason)} |");
        }
        if (report.Result?.Depth is { } depth) Depth(depth);
        return text.ToString();

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');

        void Depth(DepthReport depth)
        {
            DivergenceDistribution all = depth.Divergence;
            Line($"\n## Where it differs\n\nKL divergence of {Figure.Count(all.Positions)} positions, nats: half below {Figure.Number(all.Median)}, 90 % below {Figure.Number(all.P90)}, 99 % below {Figure.Number(all.P99)}, 99.9 % below {Figure.Number(all.P999)}, largest {Figure.Number(all.Largest)}.");
            Line($"\nThe lead of the top token over the second is {Figure.Percent(depth.Margin.Ratio)} of the original's; at {Figure.Percent(depth.Margin.Shrunk)} of positions less than half is left.\n");
            Line($"| probability of the original's top token | positions | KL, nats | same top token |\n| --- | --- | --- | --- |");
            foreach (ConfidenceClass one in depth.ByConfidence.Take(Most)) Line($"| {Figure.Number(one.Low, 2)} to {Figure.Number(one.High, 2)} | {one.Positions} | {Figure.Number(one.KlDivergence)} | {Figure.Percent(one.Top1Agreement)} |");
            if (depth.Format.Count > 0)
            {
                Line($"\n| format tokens | positions | KL, nats | same top token |\n| --- | --- | --- | --- |");
                foreach (FormatTokens kind in depth.Format.Take(Most)) Line($"| {Plain(kind.Kind)} | {kind.Positions} | {Figure.Number(kind.KlDivergence)} | {Figure.Percent(kind.Top1Agreement)} |");
            }
            if (depth.Flips.Count > 0)
            {
                Line($"\n## Where the top token changed\n\n| text before | original | result | KL, nats |\n| --- | --- | --- | --- |");
                foreach (Flip flip in depth.Flips.Take(Most)) Line($"| {Plain(flip.Context)} | {Plain(flip.Expected)} {Figure.Percent(flip.ExpectedProbability)} | {Plain(flip.Found)} {Figure.Percent(flip.FoundProbability)} | {Figure.Number(flip.KlDivergence, 3)} |");
            }
            if (depth.Samples.Count > 0)
            {
                Line($"\n## Both continue\n\n{depth.Samples.Count(sample => sample.ModelLoops is not null)} of {depth.Samples.Count} continuations of the result end in a loop, {depth.Samples.Count(sample => sample.ReferenceLoops is not null)} of the original's.\n");
                Line($"| beginning | original | result |\n| --- | --- | --- |");
                foreach (SampleText sample in depth.Samples.Take(Most)) Line($"| {Plain(sample.Prompt)} | {Plain(sample.Reference)} | {Plain(sample.Model)} |");
            }
            if (depth.Modules.Count == 0) return;
            Line($"\n## Layers that lose most alone\n\n| block | layer | KL, nats | bits per weight | rank |\n| --- | --- | --- | --- | --- |");
            foreach (ModuleLoss loss in depth.Modules.OrderByDescending(loss => loss.KlDivergence).Take(Most)) Line($"| {loss.Block} | {Plain(loss.Module)} | {Figure.Number(loss.KlDivergence)} | {Figure.Bits(loss.Bits)} | {loss.Rank} |");
        }
    }

    /// <summary>A text within a cell of a table, without markup of its own.</summary>
    private static string Plain(string text) => Markup.Escape(text.Length <= LongestText ? text : text[..LongestText] + "…")
        .Replace("\n", " ⏎ ", StringComparison.Ordinal).Replace("\\", "\\\\", StringComparison.Ordinal).Replace("|", "\\|", StringComparison.Ordinal).Replace("`", "\\`", StringComparison.Ordinal)
        .Replace("[", "\\[", StringComparison.Ordinal).Replace("*", "\\*", StringComparison.Ordinal).Replace("_", "\\_", StringComparison.Ordinal);
}
