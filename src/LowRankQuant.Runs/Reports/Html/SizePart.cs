using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>What the result loses for its bytes, beside round to nearest, and where the bytes go.</summary>
internal static class SizePart
{
    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, RunReport report) => sheet.Part("size", "Loss and size", () =>
    {
        if (report.Result is { } result) sheet.Say($"Measured on {Sheet.Bound(report.EvaluationSource, 300)}: {Figure.Count(result.Windows)} windows, {Figure.Count(result.Tokens)} predicted tokens.", "soft");
        if (report.SourceTypes is { } types) sheet.Say($"The source is quantized itself ({types}); losses are measured against it as it is.");
        sheet.Figures(() =>
        {
            NamedPoint[] points = [.. Points(report)];
            if (points.Length > 0)
            {
                sheet.Figure(id => ScatterChart.Draw(new ChartFrame("KL divergence against size", "size of the file, MiB", "KL divergence, nats (logarithmic)") { Id = id, Height = 270 }, points, FloorText.Level(report.Result)),
                    "Loss against size", $"Lower and further left is better. Bars are one standard error. {FloorText.Caption(report.Result)}", null);
            }
            if (Parts(report) is { Count: > 0 } parts)
            {
                sheet.Figure(id => StackChart.Draw(new ChartFrame("Where the bytes go", "", $"{Figure.Bytes(report.ResultBytes)} in all") { Id = id }, parts),
                    "Where the bytes go", report.Vocabulary.Count == 0 ? "Embedding and head are not quantized." : "Embedding and head are quantized, too.",
                    new Table("Bytes of the file.", [new("part"), new("bytes")], [.. parts.Select(part => new Cell[] { part.Name, Figure.Count(part.Value) })]));
            }
        });
        Models(sheet, report);
        foreach (VocabularyReport matrix in report.Vocabulary.Take(8)) sheet.Say(matrix.Describe() + ".");
        if (report.KeptLinears.Count > 0) sheet.Say($"In their own type: {KeptLinear.Describe(report.KeptLinears.Take(200), report.Blocks.Count)}.");
        if (report.CarriedOver.Count > 0) sheet.Say($"{report.CarriedOver.Count} tensors that are no part of the model are carried over as they are: {string.Join(", ", report.CarriedOver.Take(6))}{(report.CarriedOver.Count > 6 ? " and others" : "")}.");
    });

    /// <summary>The measured models of a report as points of size and loss.</summary>
    public static IEnumerable<NamedPoint> Points(RunReport report)
    {
        if (report.Rtn is { KlDivergence: { } nearest } rtn && report.RtnBytes is { } bytes) yield return new NamedPoint("round to nearest", bytes / 1048576.0, nearest, Verdict.Error(rtn, "klDivergence"), 1);
        if (report.Result is { KlDivergence: { } loss } result && report.ResultBytes is { } own) yield return new NamedPoint(report.Method == "rtn" ? "this result" : report.Method, own / 1048576.0, loss, Verdict.Error(result, "klDivergence"), 0);
        if (report.AsStored is { KlDivergence: { } stored } files && report.ResultBytes is { } same) yield return new NamedPoint("as stored", same / 1048576.0, stored, Verdict.Error(files, "klDivergence"), 2);
    }

    /// <summary>The table of the original, round to nearest and the result.</summary>
    private static void Models(Sheet sheet, RunReport report)
    {
        var rows = new List<Cell[]>();
        Row(report.SourceTypes is null ? "original" : "source", report.FullPrecision, report.SourceBitsPerWeight, report.SourceBytes);
        Row(report.RtnGrid is { } grid ? $"round to nearest, {grid}" : "round to nearest", report.Rtn, report.Rtn?.BitsPerWeight, report.RtnBytes);
        int own = rows.Count;
        Row(report.Method, report.Result ?? new EvaluationResult(), report.BitsPerWeight, report.ResultBytes);
        Row($"{report.Method}, as stored", report.AsStored, report.BitsPerWeight, report.ResultBytes);
        sheet.Add(new Table("± is one standard error; bits per weight are those of the quantized linears, codes, scales, zero points and low-rank branches counted.",
            [new("model"), new("KL, nats"), new("same top token"), new("perplexity"), new("bits per weight"), new("file"), new("bits per parameter")], rows)
        { Own = own });
        if (report.AsStored is not null) sheet.Say("As stored: what the files alone say. No container holds a cache quantized per token or before the rotation of keys; recipe.json does, and the row above has it.", "soft");

        void Row(string name, EvaluationResult? figures, double? bits, long? bytes)
        {
            if (figures is null) return;
            rows.Add([name, Figure.WithError(figures.KlDivergence, Verdict.Error(figures, "klDivergence")), Figure.Percent(figures.Top1Agreement, Verdict.Error(figures, "top1Agreement")),
                Figure.WithError(figures.Perplexity, Verdict.Error(figures, "perplexity")), Figure.Bits(bits), Figure.Bytes(bytes), Figure.Bits(figures.ModelBitsPerWeight ?? (bytes == report.ResultBytes ? report.ResultBitsPerParameter : null))]);
        }
    }

    private static List<Bar> Parts(RunReport report)
    {
        if (report.Stored is not { FileBytes: > 0 } stored) return [];
        BitShares shares = BitShares.Of(report);
        double whole = stored.FileBytes, scales = shares is { Codes: { } codes and > 0, Scales: { } share } ? stored.LinearBytes * share / (codes + share) : 0;
        return
        [
            Part(scales > 0 ? "codes" : "linears of blocks", stored.LinearBytes - scales, 0),
            .. scales > 0 ? [Part("scales and zero points", scales, 5)] : Array.Empty<Bar>(),
            .. stored.BranchBytes > 0 ? [Part("low-rank branches", stored.BranchBytes, 3)] : Array.Empty<Bar>(),
            Part("embedding and head", stored.EmbeddingBytes, 1), Part("norms and other tensors", stored.OtherBytes, 2), Part("headers", stored.OverheadBytes, 7),
        ];

        Bar Part(string name, double bytes, int series) => new(name, bytes, $"{Figure.Bytes(bytes)}, {Figure.Percent(bytes / whole)}", series);
    }
}
