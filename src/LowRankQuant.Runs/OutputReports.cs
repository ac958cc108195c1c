using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Runs;

/// <summary>The reports in an output folder, all of one model: for people, for the hub, and, last, for programs.</summary>
internal static class OutputReports
{
    /// <summary>Writes them.</summary>
    /// <param name="job">The run.</param>
    /// <param name="output">Its folder.</param>
    /// <param name="report">What came out.</param>
    /// <param name="observer">Is told what is left alone.</param>
    public static void Write(QuantizeJob job, string output, RunReport report, IRunObserver observer)
    {
        LayerReport[] layers = [.. report.Blocks.SelectMany(block => block.Layers)];
        if (layers.Length > 0) AtomicFile.WriteAllText(Path.Combine(output, RankChart.FileName), RankChart.Draw(layers));
        ReportedResult result = ReportFiles.Beside(output, report);
        AtomicFile.WriteAllText(Path.Combine(output, ReportMarkdown.FileName), ReportMarkdown.Write(report));
        AtomicFile.WriteAllText(Path.Combine(output, ReportHtml.FileName), ReportHtml.Write(result, job.Spell));
        string card = ModelCard.Write(report, ModelCardSource.Of(job.Model.Checkpoint.Location), ContainerOf(output), job.Spell);
        if (!ModelCard.TryWrite(output, card)) observer.Note($"{Path.Combine(output, ModelCard.FileName)} is somebody's own and stays as it is.");
        AtomicFile.WriteAllBytes(Path.Combine(output, RunFolder.ReportName), JsonSerializer.SerializeToUtf8Bytes(report, RunJson.Default.RunReport));
    }

    // Float minima and two-level grids have containers of their own.
    private static string? ContainerOf(string output) =>
        (string?)JsonNode.Parse(File.ReadAllText(Path.Combine(output, "config.json")))?["quantization_config"]?["quant_method"];
}
