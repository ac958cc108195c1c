using System.Globalization;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>What a reader wants to know first: size, bits, loss, which engines run it, what to look at.</summary>
internal static class VerdictPart
{
    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, RunReport report) => sheet.Part("verdict", "Verdict", () =>
    {
        sheet.Say(Verdict.Sentence(report), "lead");
        Tiles(sheet, report);
        sheet.Body.Add($"<ul class=\"marks\">");
        foreach (Mark mark in Verdict.Marks(report))
        {
            (string kind, string name) = mark.Kind switch { MarkKind.RedFlag => ("red", "Red flag"), MarkKind.Note => ("note", "Note"), _ => ("fine", "Fine") };
            sheet.Body.Add($"<li class=\"{kind}\"><b>{name}:</b> {sheet.Words(mark.Text)}</li>");
        }
        sheet.Body.Add($"</ul>");
        Engines(sheet, report);
    });

    private static void Tiles(Sheet sheet, RunReport report)
    {
        sheet.Body.Add($"<dl class=\"tiles\">");
        string smaller = report is { ResultBytes: > 0, Bf16Bytes: { } full } ? $"{((double)full / report.ResultBytes.Value).ToString("0.0", CultureInfo.InvariantCulture)}× smaller than bf16 ({Figure.Bytes(full)})" : "";
        Tile("Size", Figure.Bytes(report.ResultBytes), smaller);
        BitShares shares = BitShares.Of(report);
        Tile("Bits per weight", Figure.Bits(report.BitsPerWeight), shares.Describe());
        Tile("Bits per parameter", Figure.Bits(report.ResultBitsPerParameter), report.Stored is { FileBytes: > 0 } stored
            ? $"whole file; embedding and head {Figure.Percent((double)stored.EmbeddingBytes / stored.FileBytes)} of it" : "whole file");
        if (report.Result is { } result)
        {
            string nearest = report.Rtn?.KlDivergence is { } rtn ? $"round to nearest: {Figure.Number(rtn, 3)}" : "";
            Tile("KL divergence, nats", Figure.Number(result.KlDivergence, 3), Join(Join(Off(result, "klDivergence", result.KlDivergence), nearest), $"noise floor of bf16: {FloorText.Short(result)}"));
            Tile("Same top token", Figure.Percent(result.Top1Agreement), Join(Verdict.Error(result, "top1Agreement") is { } error ? $"± {Figure.Percent(error)}" : "", report.Rtn?.Top1Agreement is { } top ? $"round to nearest: {Figure.Percent(top)}" : ""));
            Tile("Perplexity", Figure.Number(result.Perplexity), Join(Off(result, "perplexity", result.Perplexity), report.FullPrecision?.Perplexity is { } original ? $"original: {Figure.Number(original)}" : ""));
        }
        sheet.Body.Add($"</dl>");

        void Tile(string name, string big, string more) => sheet.Body.Add($"<div class=\"tile\"><dt>{name}</dt><dd class=\"big\">{big}</dd><dd class=\"more\">{more}</dd></div>");
    }

    private static string Off(EvaluationResult result, string metric, double? value) => value is not null && Verdict.Error(result, metric) is { } error ? $"± {Figure.Number(error, 2)}" : "";

    private static string Join(string one, string other) => one.Length == 0 ? other : other.Length == 0 ? one : $"{one}; {other}";

    private static void Engines(Sheet sheet, RunReport report)
    {
        if (report.Engines is not { } engines)
        {
            sheet.Say("Which engines load the folder was not asked when this report was made; 'lrq verify FOLDER' says it.", "soft");
            return;
        }
        if (engines.Count == 0)
        {
            sheet.Say("No engine whose rules are known reads such a folder; 'lrq export' writes files for them.", "soft");
            return;
        }
        sheet.Add(new Table("Which engines take the folder as it is, by their rules of loading; 'lrq export' writes other files.",
            [new("engine"), new("verdict", IsWord: true), new("why", IsLong: true), new("checked with", IsWord: true)],
            [.. engines.Take(50).Select(engine => new Cell[] { engine.Engine, Word(engine.Verdict), sheet.Spell(engine.Reason), Sheet.Bound(engine.Versions, 60) })]));
    }

    private static string Word(string verdict) => verdict switch { "fast" => "✓ fast", "loads" => "✓ loads", "refuses" => "✗ refuses", _ => Sheet.Bound(verdict, 40) };
}
