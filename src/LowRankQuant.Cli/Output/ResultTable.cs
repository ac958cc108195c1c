using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Cli.Output;

/// <summary>What a run came to, side by side: full precision, round to nearest, result.</summary>
internal static class ResultTable
{
    private const double Bf16Bits = 16;

    /// <summary>
    /// The three models, a line each. Bits per weight are those of the linears, scales and branches counted; size and bits per parameter those of the whole
    /// files, embedding and head included.
    /// </summary>
    public static string Of(RunReport report)
    {
        var table = new TextTable("", "perplexity", "KL divergence", "top-1", "bits/weight", "size", "bits/parameter");
        if (report.FullPrecision is { } full)
        {
            if (report.SourceTypes is { } types) Add(table, $"source ({types})", full, report.SourceBitsPerWeight, report.SourceBytes, reference: true);
            else Add(table, "full precision", full with { ModelBitsPerWeight = Bf16Bits }, full.BitsPerWeight ?? Bf16Bits, report.Bf16Bytes ?? report.SourceBytes, reference: true);
        }
        // A result may be called as the baseline is.
        const string rounding = "rtn";
        string baseline = report.RtnGrid is { } grid ? $"{rounding}, {grid}" : report.Method == rounding ? "rtn min-max" : rounding;
        if (report.Rtn is { } rtn) Add(table, baseline, rtn, rtn.BitsPerWeight, report.RtnBytes);
        Add(table, report.Method, (report.Result ?? new EvaluationResult()) with { ModelBitsPerWeight = report.ResultBitsPerParameter }, report.BitsPerWeight, report.ResultBytes);
        if (report.AsStored is { } stored) Add(table, $"{report.Method}, as stored", stored with { ModelBitsPerWeight = report.ResultBitsPerParameter }, report.BitsPerWeight, report.ResultBytes);
        return table.ToString();
    }

    /// <summary>The figures of one model, a line each.</summary>
    public static string Of(EvaluationResult figures)
    {
        var table = new TextTable("metric", "value");
        Row("perplexity", Format.WithError(figures.Perplexity, Error(figures, "perplexity")), figures.Perplexity is not null);
        Row("negative log-likelihood", Format.WithError(figures.NegativeLogLikelihood, Error(figures, "negativeLogLikelihood")), figures.NegativeLogLikelihood is not null);
        Row("KL divergence", Format.WithError(figures.KlDivergence, Error(figures, "klDivergence")), figures.KlDivergence is not null);
        Row("top-1 agreement", Format.Percent(figures.Top1Agreement, Error(figures, "top1Agreement")), figures.Top1Agreement is not null);
        Row("word perplexity", Format.WithError(figures.WordPerplexity, Error(figures, "wordPerplexity")), figures.WordPerplexity is not null);
        Row("byte perplexity", Format.WithError(figures.BytePerplexity, Error(figures, "bytePerplexity")), figures.BytePerplexity is not null);
        Row("bits per byte", Format.WithError(figures.BitsPerByte, Error(figures, "bitsPerByte")), figures.BitsPerByte is not null);
        Row("documents", Format.Count(figures.Documents), figures.Documents is not null);
        Row("tokens predicted", Format.Count(figures.Tokens), figures.Tokens is not null);
        Row("windows", Format.Count(figures.Windows), figures.Windows is not null);
        Row("bits per weight", Format.Bits(figures.BitsPerWeight), figures.BitsPerWeight is not null);
        Row("bits per weight, whole model", Format.Bits(figures.ModelBitsPerWeight), figures.ModelBitsPerWeight is not null);
        Row("time", Format.Duration(figures.Seconds ?? double.NaN), figures.Seconds is not null);
        Row("peak memory", Format.Bytes(figures.PeakMemoryBytes), figures.PeakMemoryBytes is not null);
        return table.ToString();

        void Row(string name, string value, bool there)
        {
            if (there) table.Add(name, value);
        }
    }

    private static double? Error(EvaluationResult figures, string metric) => figures.StandardErrors.TryGetValue(metric, out double error) ? error : null;

    private static void Add(TextTable table, string name, EvaluationResult figures, double? bits, long? size, bool reference = false) => table.Add(
        name,
        Format.WithError(figures.Perplexity, Error(figures, "perplexity")),
        reference ? Format.Absent : Format.WithError(figures.KlDivergence, Error(figures, "klDivergence")),
        reference ? Format.Absent : Format.Percent(figures.Top1Agreement, Error(figures, "top1Agreement")),
        Format.Bits(bits),
        Format.Bytes(size),
        Format.Bits(figures.ModelBitsPerWeight));
}
