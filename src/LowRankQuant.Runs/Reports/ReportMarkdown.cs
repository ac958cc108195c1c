using System.Globalization;
using System.Text;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>report.md: the report for people.</summary>
public static class ReportMarkdown
{
    /// <summary>Name of the file in an output folder.</summary>
    public const string FileName = "report.md";

    private const int WorstInputs = 8, MostEngines = 40, MostTensors = 2000;

    /// <summary>Writes it.</summary>
    /// <param name="report">The report.</param>
    public static string Write(RunReport report)
    {
        var text = new StringBuilder();
        Line($"# {report.Method}, {report.Scheme}\n");
        if (report.Quantizers is { } quantizers) Line($"{char.ToUpperInvariant(quantizers[0])}{quantizers[1..]}.\n");
        if (report.Precision is { } precision) Line($"Blocks were run and learned with products of linears in {precision}; everything measured is fp32.\n");
        if (report.KeptLinears.Count > 0) Line($"In their own type: {KeptLinear.Describe(report.KeptLinears, report.Blocks.Count)}.\n");
        if (report.OwnBlocks.Count > 0) Line($"In a way of their own: {string.Join("; ", report.OwnBlocks)}.\n");
        if (report.Warnings.Count > 0)
        {
            foreach (string warning in report.Warnings) Line($"**Warning:** {warning}\n");
        }
        if (report.Result is not null)
        {
            Line($"Measured on {report.EvaluationSource}, {report.Result.Windows} windows, {report.Result.Tokens} predicted tokens.\n");
            Line($"| | perplexity | KL divergence (nats) | same top token | bits per weight | file, bytes | bits per parameter |");
            Line($"| --- | --- | --- | --- | --- | --- | --- |");
            Row(report.SourceTypes is { } types ? $"source ({types})" : "full precision", report.FullPrecision, report.SourceBytes);
            Row(report.RtnGrid is { } grid ? $"round to nearest, {grid}" : "round to nearest", report.Rtn, report.RtnBytes);
            Row(report.Method, report.Result, report.ResultBytes);
            if (report.AsStored is not null) Row($"{report.Method}, as stored", report.AsStored with { ModelBitsPerWeight = report.ResultBitsPerParameter }, report.ResultBytes);
            Line($"\n± is one standard error. Bits per weight are those of the quantized linears, scales, zero points and low-rank branches counted; the file holds embedding and head too, and bits per parameter are its bytes over all parameters.\n");
            if (report.AsStored is not null)
                Line($"As stored: what the files alone say. No container holds a cache quantized per token or before the rotation of keys; recipe.json does, and the row above has it.\n");
        }
        if (report.Result?.KlDivergence is not null) Line($"{FloorText.Sentence(report.Result)}\n");
        if (report.Result?.Depth is { } depth) text.Append(DepthMarkdown.Write(depth));
        Line($"## Size\n\n| | bytes |\n| --- | --- |");
        Line($"| all parameters in bf16 | {report.Bf16Bytes:N0} |\n| source file | {report.SourceBytes:N0} |\n| result | {report.ResultBytes:N0} |");
        if (report.Stored is { } stored)
        {
            Line($"| of which linears of the blocks | {stored.LinearBytes:N0} |");
            if (stored.BranchBytes > 0) Line($"| of which low-rank branches | {stored.BranchBytes:N0} |");
            if (stored.BranchBytes != stored.CountedBranchBytes) Line($"| (the branches in lrq's own file) | {stored.CountedBranchBytes:N0} |");
        }
        string quantized = report.Vocabulary.Count == 0 ? "not quantized" : string.Join(", ", report.Vocabulary.Select(matrix => $"{matrix.Name} {matrix.Grid}"));
        Line($"| of which embedding and head ({quantized}) | {report.Stored?.EmbeddingBytes ?? report.EmbeddingBytes:N0} |\n");
        foreach (VocabularyReport matrix in report.Vocabulary) Line($"{matrix.Describe()}.\n");
        Line($"Quantized linears: {report.BitsPerWeight:F3} bits per weight, scales, zero points and low-rank factors counted; the whole file: {report.ResultBitsPerParameter:F3} bits per parameter.");
        Line($"The source's linears: {report.SourceBitsPerWeight:F3} bits per weight, {report.SourceTypes ?? "floats"}.\n");
        if (report.Tuning is { } tuning)
        {
            Line($"## Tuning of the whole model\n\nKL divergence on the {tuning.Measured} {Number(tuning.Before)} before, {Number(tuning.After)} after; step {tuning.KeptStep} of {tuning.Steps} kept.");
            Line($"What follows about blocks and layers is as the method made them.\n");
        }
        Line($"## Blocks\n\n| block | loss before | loss after | held-out before | held-out after | seconds |\n| --- | --- | --- | --- | --- | --- |");
        foreach (BlockReport block in report.Blocks)
            Line($"| {block.Index} | {Number(block.LossBefore)} | {Number(block.LossAfter)} | {Number(block.HeldOutLossBefore)} | {Number(block.HeldOutLoss)} | {block.Seconds:F1} |");
        LayerTable();
        TensorTable();
        InputTable();
        EngineTable();
        if (report.Tasks is { } tasks) text.Append('\n').Append(TaskMarkdown.Write(tasks));
        if (report.Sample is not null) Line($"\n## A sample of its text\n\n> {report.Sample.ReplaceLineEndings("\n> ")}\n");
        Line($"## Cost\n\n{report.Seconds:F0} s, peak memory {report.PeakMemoryBytes / (1 << 20):N0} MiB. SHA-256 of the tensors: `{report.OutputHash}`.");
        // Whatever a report holds is text: no element of HTML may come of it where a page is made of this.
        return text.Replace("<", "&lt;").ToString();

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');

        void EngineTable()
        {
            if (report.Engines is not { Count: > 0 } engines) return;
            Line($"\n## Engines\n\n| engine | verdict | why |\n| --- | --- | --- |");
            foreach (EngineReport engine in engines.Take(MostEngines)) Line($"| {MarkdownText.Of(engine.Engine)} | {MarkdownText.Of(engine.Verdict)} | {MarkdownText.Of(engine.Reason)} |");
        }

        void LayerTable()
        {
            if (!report.Blocks.Any(block => block.Layers.Count > 0)) return;
            Line($"\n## Layers\n\n![rank, width, bits and error of every layer]({RankChart.FileName})\n");
            Line($"| block | layer | bits | rank | bits per weight | error before | error after |\n| --- | --- | --- | --- | --- | --- | --- |");
            foreach (BlockReport block in report.Blocks)
            {
                foreach (LayerReport layer in block.Layers)
                    Line($"| {block.Index} | {layer.Name} | {layer.Bits} | {layer.Rank} | {layer.BitsPerWeight:F3} | {Number(layer.ErrorBefore)} | {Number(layer.ErrorAfter)} |");
            }
        }

        void TensorTable()
        {
            if (report.Tensors.Count == 0) return;
            Line($"\n## Stored linears\n\n| block | linear | type | bits per weight | rank | weight error | clipped |\n| --- | --- | --- | --- | --- | --- | --- |");
            foreach (TensorReport tensor in report.Tensors.Take(MostTensors))
                Line($"| {tensor.Block} | {MarkdownText.Of(tensor.Name)} | {MarkdownText.Of(tensor.Type)} | {tensor.BitsPerWeight:F3} | {tensor.Rank} | {Number(tensor.Error)} | {(tensor.Clipped is null ? "" : Figure.SmallShare(tensor.Clipped))} |");
            Line($"\nThe error is relative to the length of the weight. Clipped: weights beyond the ends of their grid by more than half a step.{(report.Tensors.Count > MostTensors ? $" The first {MostTensors} of {report.Tensors.Count}; report.json has all." : "")}");
        }

        void InputTable()
        {
            (int Block, SiteReport Site)[] worst = [.. report.Blocks.SelectMany(block => block.Activations.Select(site => (block.Index, site))).OrderByDescending(site => site.site.Error).Take(WorstInputs)];
            if (worst.Length == 0) return;
            Line($"\n## Quantized inputs that lose most\n\n| block | input of | grid | step | error |\n| --- | --- | --- | --- | --- |");
            foreach ((int block, SiteReport site) in worst) Line($"| {block} | {site.Name} | {site.Grid} | {Number(site.Step)} | {Number(site.Error)} |");
            Line($"\nThe error is that of the rounded input over the length of the input, on calibration windows.");
        }

        void Row(string name, EvaluationResult? result, long? bytes)
        {
            if (result is null) return;
            Line($"| {name} | {Number(result.Perplexity)}{Error(result, "perplexity")} | {Number(result.KlDivergence)}{Error(result, "klDivergence")} | {Number(result.Top1Agreement)}{Error(result, "top1Agreement")} | {Number(result.BitsPerWeight)} | {bytes:N0} | {Number(result.ModelBitsPerWeight)} |");
        }
    }

    private static string Number(double? value) => value is null ? "" : value.Value.ToString("G5", CultureInfo.InvariantCulture);

    private static string Error(EvaluationResult result, string metric) =>
        result.StandardErrors.TryGetValue(metric, out double error) ? string.Create(CultureInfo.InvariantCulture, $" ± {error:G2}") : "";
}
