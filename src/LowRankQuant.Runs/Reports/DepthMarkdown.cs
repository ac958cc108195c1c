using System.Globalization;
using System.Text;
using LowRankQuant.Evaluation.Depth;

namespace LowRankQuant.Runs.Reports;

/// <summary>The part of report.md about where the result differs; all of it is in report.json.</summary>
internal static class DepthMarkdown
{
    private const int Flips = 5;
    private const int Modules = 10;

    /// <summary>Writes it.</summary>
    public static string Write(DepthReport depth)
    {
        var text = new StringBuilder();
        DivergenceDistribution spread = depth.Divergence;
        Line($"## Where the result differs\n\nKL divergence at {spread.Positions:N0} positions, nats:\n\n| median | 90 % below | 99 % below | 99.9 % below | largest |\n| --- | --- | --- | --- | --- |");
        Line($"| {Number(spread.Median)} | {Number(spread.P90)} | {Number(spread.P99)} | {Number(spread.P999)} | {Number(spread.Largest)} |");
        Line($"\n| probability of the original's top token | positions | KL divergence | same top token |\n| --- | --- | --- | --- |");
        foreach (ConfidenceClass part in depth.ByConfidence) Line($"| {part.Low} to {part.High} | {part.Positions:N0} | {Number(part.KlDivergence)} | {Number(part.Top1Agreement)} |");
        if (depth.Format.Count > 0)
        {
            Line($"\n| next token | which | positions | KL divergence | same top token |\n| --- | --- | --- | --- | --- |");
            foreach (FormatTokens kind in depth.Format)
                Line($"| {MarkdownText.Of(kind.Kind)} | {string.Join(", ", kind.Tokens.Select(MarkdownText.Quoted))} | {kind.Positions:N0} | {Number(kind.KlDivergence)} | {Number(kind.Top1Agreement)} |");
        }
        MarginRatio margin = depth.Margin;
        Line($"\nThe top token is {Number(margin.Reference)} nats ahead of the second in the original and {Number(margin.Model)} in the result: a ratio of {Number(margin.Ratio)}. At {Number(margin.Shrunk)} of the positions the margin is less than half.\n");
        if (depth.Flips.Count > 0)
        {
            Line($"### Surest changes of the top token\n\n| context | original | result | text | probability | kept |\n| --- | --- | --- | --- | --- | --- |");
            foreach (Flip flip in depth.Flips.Take(Flips))
            {
                string actual = flip.Actual is null ? "" : MarkdownText.Quoted(flip.Actual);
                Line($"| {MarkdownText.Quoted(flip.Context)} | {MarkdownText.Quoted(flip.Expected)} | {MarkdownText.Quoted(flip.Found)} | {actual} | {Number(flip.ExpectedProbability)} | {Number(flip.Kept)} |");
            }
            Line($"");
        }
        if (depth.Samples.Count > 0) Samples();
        if (depth.Modules.Count > 0)
        {
            Line($"### Linears that lose most alone\n\nOne linear of the result in the original.\n\n| block | linear | KL divergence | bits per weight | rank |\n| --- | --- | --- | --- | --- |");
            foreach (ModuleLoss loss in depth.Modules.OrderByDescending(loss => loss.KlDivergence).Take(Modules))
                Line($"| {loss.Block} | {MarkdownText.Of(loss.Module)} | {Number(loss.KlDivergence)} | {Number(loss.Bits)} | {loss.Rank} |");
            Line($"");
        }
        return text.ToString();

        void Samples()
        {
            Line($"### Texts side by side\n\nBeginnings of windows, continued by the most probable tokens.\n");
            foreach (SampleText sample in depth.Samples)
            {
                Line($"* {MarkdownText.Quoted(sample.Prompt)}\n  * original: {MarkdownText.Quoted(sample.Reference)}{Loop(sample.ReferenceLoops)}\n  * result: {MarkdownText.Quoted(sample.Model)}{Loop(sample.ModelLoops)}");
                Line($"  * the same for {sample.Shared} of {sample.Tokens} tokens");
            }
            Line($"");
        }

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private static string Loop(string? text) => text is null ? "" : $" **ends in a loop of {MarkdownText.Quoted(text)}**";

    private static string Number(double value) => value.ToString("G4", CultureInfo.InvariantCulture);
}
