using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>What the result says: positions where it changed its mind, continuations beside the original's, loops.</summary>
internal static class TextPart
{
    private const int MostFlips = 40, MostSamples = 16, LongestContext = 240, LongestSample = 2000, LongestToken = 60;

    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, RunReport report)
    {
        DepthReport? depth = report.Result?.Depth;
        if (depth is null && report.Sample is null) return;
        sheet.Part("text", "What it says", () =>
        {
            if (depth is not null)
            {
                Flips(sheet, depth);
                Samples(sheet, depth);
            }
            if (depth is not { Samples.Count: > 0 } && report.Sample is { } sample)
            {
                sheet.Heading("A sample of its text");
                sheet.Body.Add($"<blockquote>{Sheet.Bound(sample, LongestSample)}</blockquote>");
            }
        });
    }

    private static void Flips(Sheet sheet, DepthReport depth)
    {
        if (depth.Flips.Count == 0) return;
        sheet.Heading("Where the top token changed");
        sheet.Say("The positions where the original was surest and the result says something else.");
        sheet.Add(new Table("Flips, surest first: the original's token with the probability that the original gave it and the result left it, and the result's token with its probability there.",
            [new("text before", IsLong: true), new("original says", IsWord: true), new("it had"), new("it kept"), new("result says", IsWord: true), new("it has"), new("text goes on", IsWord: true), new("KL, nats")],
            [.. depth.Flips.Take(MostFlips).Select(flip => new Cell[]
            {
                "… " + Tail(flip.Context), Token(flip.Expected), Figure.Percent(flip.ExpectedProbability), Figure.Percent(flip.Kept), Token(flip.Found), Figure.Percent(flip.FoundProbability), flip.Actual is null ? "(end)" : Token(flip.Actual), Figure.Number(flip.KlDivergence, 3),
            })]));
    }

    private static void Samples(Sheet sheet, DepthReport depth)
    {
        if (depth.Samples.Count == 0) return;
        sheet.Heading("The same beginnings, continued by both");
        int own = depth.Samples.Count(sample => sample.ModelLoops is not null), original = depth.Samples.Count(sample => sample.ReferenceLoops is not null);
        sheet.Say($"Loop check: {own} of {depth.Samples.Count} continuations of the result end in a loop, {original} of the original's.");
        foreach (SampleText sample in depth.Samples.Take(MostSamples))
        {
            sheet.Body.Add($"<h{sheet.Level + 2}>“{Sheet.Bound(sample.Prompt, LongestContext)}”</h{sheet.Level + 2}>");
            sheet.Body.Add($"<p class=\"soft\">{(sample.Shared >= sample.Tokens ? $"The same {Figure.Count(sample.Tokens)} tokens." : $"The same for {Figure.Count(sample.Shared)} of {Figure.Count(sample.Tokens)} tokens; what follows is underlined.")}</p>");
            int same = Shared(sample.Reference, sample.Model);
            sheet.Body.Add($"<div class=\"side\">");
            Said("Original", sample.Reference, sample.ReferenceLoops);
            Said("Result", sample.Model, sample.ModelLoops);
            sheet.Body.Add($"</div>");

            void Said(string who, string text, string? loop)
            {
                string bounded = Sheet.Bound(text, LongestSample);
                int cut = Math.Min(same, bounded.Length);
                Markup rest = cut < bounded.Length ? Markup.Of($"<span class=\"parts\">{bounded[cut..]}</span>") : new Markup();
                Markup note = loop is null ? new Markup() : Markup.Of($"<p class=\"soft\">Ends in a loop: “{Sheet.Bound(loop, LongestContext)}”</p>");
                sheet.Body.Add($"<div class=\"said\"><p class=\"soft\">{who}</p><p>{bounded[..cut]}{rest}</p>{note}</div>");
            }
        }
    }

    // Whole words alone, which are no half pairs of surrogates either.
    private static int Shared(string one, string other)
    {
        int same = 0;
        while (same < one.Length && same < other.Length && one[same] == other[same]) same++;
        if (same == one.Length && same == other.Length) return same;
        while (same > 0 && !char.IsWhiteSpace(one[same - 1])) same--;
        return same;
    }

    private static string Tail(string text) => text.Length <= LongestContext ? text : text[^LongestContext..];

    // Spaces and line ends of tokens are seen.
    private static string Token(string text) => $"“{Sheet.Bound(text, LongestToken).Replace("\n", "⏎", StringComparison.Ordinal).Replace("\r", "␍", StringComparison.Ordinal).Replace("\t", "⇥", StringComparison.Ordinal)}”";
}
