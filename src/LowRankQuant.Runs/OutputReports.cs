using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Formats;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Runs;

/// <summary>The reports in an output folder, all of one model: for people, for the hub, and, last, for programs.</summary>
public static class OutputReports
{
    /// <summary>Writes them.</summary>
    /// <param name="job">The run.</param>
    /// <param name="output">Its folder.</param>
    /// <param name="report">What came out.</param>
    /// <param name="observer">Is told what is left alone.</param>
    internal static void Write(QuantizeJob job, string output, RunReport report, IRunObserver observer)
    {
        LayerReport[] layers = [.. report.Blocks.SelectMany(block => block.Layers)];
        if (layers.Length > 0) AtomicFile.WriteAllText(Path.Combine(output, RankChart.FileName), RankChart.Draw(layers));
        if (!Write(output, report, ModelCardSource.Of(job.Model.Checkpoint.Location), job.Spell)) observer.Note($"{Path.Combine(output, ModelCard.FileName)} is somebody's own and stays as it is.");
    }

    /// <summary>Adds what a result answered to tasks to the report in its folder, and writes all reports there again; no model is read.</summary>
    /// <param name="output">The folder of a finished run.</param>
    /// <param name="items">The result's answers, a file that <c>items</c> wrote.</param>
    /// <param name="against">The original's; null to compare nothing.</param>
    /// <param name="harness">Whose conventions the answers were scored by, where a file does not say so itself; null when nobody said.</param>
    /// <param name="spell">How keys of recipes in backticks are spelled for the reader; null to leave them as they are.</param>
    /// <returns>The report as it is now, and whether the model card is up to date: somebody's own is left alone.</returns>
    /// <exception cref="InvalidDataException">The folder holds no report, or its report or configuration is damaged.</exception>
    /// <exception cref="EvaluationException">A file of items is unsound, or the two cannot be compared.</exception>
    /// <exception cref="OutputLockedException">A run works in the folder.</exception>
    public static (RunReport Report, bool WroteCard) Record(string output, string items, string? against, Harness? harness, Func<string, string>? spell)
    {
        TaskReport tasks = TaskReport.OfItems(items, against, harness) with { Source = TaskSource.Of(items, against) };
        using OutputLock held = OutputLock.TakeFolder(output);
        RunReport report = ReportFiles.Read(output).Report with { Tasks = tasks };
        string card = Path.Combine(output, ModelCard.FileName);
        // The source may be on another machine; what its card said stands in ours.
        ModelCardSource source = ModelCard.IsOurs(card) ? ModelCardSource.Of(output) : ModelCardSource.None;
        return (report, Write(output, report, source, spell));
    }

    private static bool Write(string output, RunReport report, ModelCardSource source, Func<string, string>? spell)
    {
        ReportedResult result = ReportFiles.Beside(output, report);
        AtomicFile.WriteAllText(Path.Combine(output, ReportMarkdown.FileName), ReportMarkdown.Write(report));
        AtomicFile.WriteAllText(Path.Combine(output, ReportHtml.FileName), ReportHtml.Write(result, spell));
        bool wrote = !File.Exists(ConfigOf(output)) || ModelCard.TryWrite(output, ModelCard.Write(report, source, ContainerOf(output), spell));
        AtomicFile.WriteAllBytes(Path.Combine(output, RunFolder.ReportName), JsonSerializer.SerializeToUtf8Bytes(report, RunJson.Default.RunReport));
        return wrote;
    }

    private static string ConfigOf(string output) => Path.Combine(output, "config.json");

    // Float minima and two-level grids have containers of their own.
    private static string? ContainerOf(string output)
    {
        try
        {
            return (string?)JsonNode.Parse(File.ReadAllText(ConfigOf(output)))?["quantization_config"]?["quant_method"];
        }
        catch (Exception damage) when (damage is JsonException or InvalidOperationException)
        {
            throw new InvalidDataException($"{ConfigOf(output)} is no sound configuration: {damage.Message}", damage);
        }
    }
}
