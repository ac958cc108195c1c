using System.Globalization;
using System.Text;
using LowRankQuant.Evaluation.Depth;

namespace LowRankQuant.Cli.Output;

/// <summary>A report in depth, in short: what a terminal has room for. All of it is in the JSON.</summary>
internal static class DepthTable
{
    private const int Flips = 5;
    private const int Modules = 5;
    private const int Excerpt = 60;

    /// <summary>The tables, one below the other.</summary>
    public static string Of(DepthReport depth)
    {
        var text = new StringBuilder();
        DivergenceDistribution spread = depth.Divergence;
        Part(new TextTable("divergence", "nats"), ("median", spread.Median), ("90 %", spread.P90), ("99 %", spread.P99), ("99.9 %", spread.P999), ("largest", spread.Largest));
        if (depth.Bf16Floor is { } floor)
        {
            var noise = new TextTable("reference in bf16 beside itself", "value");
            noise.Add("KL divergence", Format.WithError(floor.KlDivergence, floor.StandardError));
            noise.Add("top-1 agreement", Format.Percent(floor.Top1Agreement));
            Add(noise);
        }
        var confidence = new TextTable("reference's top probability", "positions", "KL divergence", "top-1");
        foreach (ConfidenceClass part in depth.ByConfidence)
            confidence.Add(string.Create(CultureInfo.InvariantCulture, $"{part.Low} to {part.High}"), Format.Count(part.Positions), Format.Number(part.KlDivergence), Format.Percent(part.Top1Agreement));
        Add(confidence);
        if (depth.Format.Count > 0)
        {
            var format = new TextTable("next token", "positions", "KL divergence", "top-1");
            foreach (FormatTokens kind in depth.Format) format.Add(kind.Kind, Format.Count(kind.Positions), Format.Number(kind.KlDivergence), Format.Percent(kind.Top1Agreement));
            Add(format);
        }
        MarginRatio margin = depth.Margin;
        Part(new TextTable("margin of the top token", "value"), ("reference, nats", margin.Reference), ("model, nats", margin.Model), ("ratio", margin.Ratio), ("share below half", margin.Shrunk));
        if (depth.Flips.Count > 0)
        {
            var flips = new TextTable("surest flips: context", "reference", "model", "p", "p kept") { WordColumns = 3 };
            foreach (Flip flip in depth.Flips.Take(Flips))
                flips.Add(Tail(flip.Context), Quoted(flip.Expected), Quoted(flip.Found), Format.Number(flip.ExpectedProbability), Format.Number(flip.Kept));
            Add(flips);
        }
        if (depth.Samples.Count > 0)
        {
            var samples = new TextTable("texts side by side", "tokens", "until they part", "reference loops", "model loops");
            foreach (SampleText sample in depth.Samples)
                samples.Add(Tail(sample.Prompt), Format.Count(sample.Tokens), Format.Count(sample.Shared), Loop(sample.ReferenceLoops), Loop(sample.ModelLoops));
            Add(samples);
        }
        if (depth.Modules.Count > 0)
        {
            var modules = new TextTable("linears that lose most alone", "KL divergence", "bits", "rank");
            foreach (ModuleLoss loss in depth.Modules.OrderByDescending(loss => loss.KlDivergence).Take(Modules))
                modules.Add(string.Create(CultureInfo.InvariantCulture, $"{loss.Block} {loss.Module}"), Format.Number(loss.KlDivergence), Format.Bits(loss.Bits), Format.Count(loss.Rank));
            Add(modules);
        }
        return text.ToString();

        void Add(TextTable table) => text.Append('\n').Append(table);

        void Part(TextTable table, params ReadOnlySpan<(string Name, double Value)> rows)
        {
            foreach ((string name, double value) in rows) table.Add(name, Format.Number(value));
            Add(table);
        }
    }

    private static string Loop(string? text) => text is null ? "no" : Quoted(text.Length > Excerpt / 2 ? text[..(Excerpt / 2)] : text);

    private static string Tail(string text) => Quoted(text.Length <= Excerpt ? text : text[^Excerpt..]);

    private static string Quoted(string text) => $"'{Plain(text)}'";

    // One line, without what would move a terminal's cursor.
    private static string Plain(string text) => string.Concat(text.Select(letter => letter switch
    {
        '\n' => "\\n",
        '\t' => "\\t",
        _ when char.IsControl(letter) => "?",
        _ => letter.ToString(),
    }));
}
