using System.Globalization;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>How much a mark weighs.</summary>
internal enum MarkKind
{
    /// <summary>Look at this before the result is used.</summary>
    RedFlag,

    /// <summary>Worth knowing.</summary>
    Note,

    /// <summary>Nothing is wrong.</summary>
    Fine,
}

/// <summary>What a reader should know before anything else.</summary>
/// <param name="Kind">How much it weighs.</param>
/// <param name="Text">A sentence.</param>
internal sealed record Mark(MarkKind Kind, string Text);

/// <summary>The verdict on a result: one sentence, and marks by fixed rules, which docs/guide/report.md lists.</summary>
internal static class Verdict
{
    /// <summary>What the warning about a result that says nothing any more begins with.</summary>
    public const string Collapse = "the result has collapsed";

    private const double LeastAgreement = 0.8, LargestDivergence = 0.5, FewTokens = 5000, LargeShare = 0.3, LeastMargin = 0.8, FormatLoss = 0.05;
    private const long FewPositions = 20;

    /// <summary>The result in one sentence.</summary>
    public static string Sentence(RunReport report)
    {
        string size = report.BitsPerWeight is { } bits ? $"{Figure.Bits(bits)} bits per weight" : "No size is known";
        if (report is { ResultBytes: { } bytes and > 0, Bf16Bytes: { } full }) size += $", {Figure.Bytes(bytes)} in all, {((double)full / bytes).ToString("0.0", CultureInfo.InvariantCulture)} times smaller than bf16";
        if (report.Result?.KlDivergence is not { } loss) return size + ". What it loses was not measured.";
        string against = report.Rtn?.KlDivergence is { } nearest && nearest > 0 && loss >= 0 && report.Method != "rtn"
            ? $", {(loss <= nearest ? $"{Percent(1 - (loss / nearest))} less than" : $"{Percent((loss / nearest) - 1)} more than")} round to nearest{(report.RtnGrid is { } grid ? $" on {grid}" : " on the same grid")}" : "";
        string agreement = report.Result.Top1Agreement is { } top ? $" Its most probable next token is the original's at {Figure.Percent(top)} of positions." : "";
        return $"{size}. It is {Figure.WithError(loss, Error(report.Result, "klDivergence"))} nats of KL divergence away from the original{against}.{agreement}";
    }

    /// <summary>Everything to look at, the heaviest first.</summary>
    public static IReadOnlyList<Mark> Marks(RunReport report)
    {
        Mark[] all = [.. OfWarnings(report), .. OfFigures(report), .. OfDepth(report.Result), .. OfTasks(report), .. OfBlocks(report), .. OfFile(report)];
        return all.Any(mark => mark.Kind == MarkKind.RedFlag) ? [.. all.OrderBy(mark => mark.Kind)] : [new Mark(MarkKind.Fine, "None of the rules of this report raised a red flag."), .. all];
    }

    /// <summary>A standard error; null where there is none.</summary>
    public static double? Error(EvaluationResult? result, string metric) => result is not null && result.StandardErrors.TryGetValue(metric, out double error) ? error : null;

    private static IEnumerable<Mark> OfWarnings(RunReport report) =>
        report.Warnings.Take(100).Select(warning => new Mark(warning.StartsWith(Collapse, StringComparison.Ordinal) ? MarkKind.RedFlag : MarkKind.Note, Capital(warning)));

    private static IEnumerable<Mark> OfFigures(RunReport report)
    {
        if (report.Result is not { } result)
        {
            yield return new Mark(MarkKind.Note, "Nothing was measured: sizes are all that is known of this result.");
            yield break;
        }
        if (result.KlDivergence is > LargestDivergence) yield return new Mark(MarkKind.RedFlag, $"KL divergence is above {Figure.Number(LargestDivergence, 1)} nats: the model says other things than the original.");
        if (result.Top1Agreement is < LeastAgreement) yield return new Mark(MarkKind.RedFlag, $"The most probable next token differs at more than one position in five ({Figure.Percent(1 - result.Top1Agreement)}).");
        if (report.Method != "rtn" && result.KlDivergence is { } loss && report.Rtn?.KlDivergence is { } nearest)
        {
            double error = 2 * Math.Sqrt(Math.Pow(Error(result, "klDivergence") ?? 0, 2) + Math.Pow(Error(report.Rtn, "klDivergence") ?? 0, 2));
            if (loss > nearest + error) yield return new Mark(MarkKind.RedFlag, "It loses more than round to nearest does: the method did harm.");
            else if (loss > nearest - error) yield return new Mark(MarkKind.Note, "What it gains over round to nearest is within two standard errors.");
        }
        if (report.Measured is { Sha256: null }) yield return new Mark(MarkKind.Note, "It was measured on held-out windows of its calibration text; another text may lose more. `eval_text` names one.");
        if (result.Tokens is < (long)FewTokens) yield return new Mark(MarkKind.Note, $"It was measured on {Figure.Count(result.Tokens)} tokens alone; differences within the errors shown mean nothing.");
    }

    private static IEnumerable<Mark> OfDepth(EvaluationResult? result)
    {
        if (result?.Depth is not { } depth) yield break;
        int loops = depth.Samples.Count(sample => sample.ModelLoops is not null && sample.ReferenceLoops is null);
        if (loops > 0) yield return new Mark(MarkKind.RedFlag, $"{loops} of {depth.Samples.Count} continuations end in a loop where the original's do not.");
        foreach (FormatTokens kind in depth.Format.Where(kind => kind.Positions >= FewPositions && kind.Top1Agreement < (result.Top1Agreement ?? 1) - FormatLoss))
            yield return new Mark(MarkKind.RedFlag, $"Format tokens suffer more than text: at {kind.Kind} tokens both models agree at {Figure.Percent(kind.Top1Agreement)} of positions, over all at {Figure.Percent(result.Top1Agreement)}.");
        if (depth.Margin.Ratio < LeastMargin) yield return new Mark(MarkKind.Note, $"The lead of the most probable token has shrunk to {Figure.Percent(depth.Margin.Ratio)} of the original's: scores may hold while answers get shaky.");
    }

    private static IEnumerable<Mark> OfTasks(RunReport report)
    {
        if (report.Tasks is not { } tasks) yield break;
        TaskRow[] worse = [.. TaskRow.Of(tasks).Where(row => row is { IsMain: true, Paired: { } paired, Half: { } half } && paired.Difference + half < 0)];
        if (worse.Length > 0) yield return new Mark(MarkKind.Note, $"It answers fewer items right than the original, by more than the interval of 95 %: {string.Join(", ", worse.Take(8).Select(row => $"{Figure.Short(row.Task, 60)} {row.DifferenceText()} points"))}{(worse.Length > 8 ? " and others" : "")}.");
    }

    private static IEnumerable<Mark> OfBlocks(RunReport report)
    {
        BlockReport[] worse = [.. report.Blocks.Where(block => block.HeldOutLoss > block.HeldOutLossBefore)];
        if (worse.Length > 0) yield return new Mark(MarkKind.Note, $"{(worse.Length == 1 ? "Block" : "Blocks")} {string.Join(", ", worse.Take(8).Select(block => block.Index))}{(worse.Length > 8 ? " and others" : "")}: worse on held-out windows than before learning.");
        if (report.Tuning is { } tuning && tuning.After > tuning.Before) yield return new Mark(MarkKind.Note, "Tuning the whole model made it worse than it was before.");
    }

    private static IEnumerable<Mark> OfFile(RunReport report)
    {
        if (report.Engines is { Count: > 0 } engines && engines.All(engine => engine.Verdict == "refuses"))
            yield return new Mark(MarkKind.RedFlag, "No engine whose rules are known loads the folder as it is; 'lrq export' writes files for others.");
        if (report.Stored is { FileBytes: > 0 } stored && (double)stored.EmbeddingBytes / stored.FileBytes is > LargeShare and var share && report.Vocabulary.Count == 0)
            yield return new Mark(MarkKind.Note, $"Embedding and head are {Percent(share)} of the file and not quantized; `embedding` makes them smaller.");
    }

    // The first letter of a library's warning is small, as it stands behind a colon elsewhere.
    private static string Capital(string warning) => warning.Length > 0 && char.IsLower(warning[0]) ? char.ToUpperInvariant(warning[0]) + warning[1..] : warning;

    private static string Percent(double share) => double.IsFinite(share) ? Math.Round(100 * share).ToString("0", CultureInfo.InvariantCulture) + " %" : "not a number";
}
