using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Runs.Reports;

/// <summary>What reports of earlier versions lack: the reader of JSON leaves null where a list is missing, whatever the usual value is.</summary>
public static class ReportDefaults
{
    /// <summary>The report with empty lists in the places of missing ones.</summary>
    /// <param name="report">As it was read.</param>
    public static RunReport Fill(RunReport report) => report with
    {
        KeptLinears = report.KeptLinears ?? [],
        OwnBlocks = report.OwnBlocks ?? [],
        CarriedOver = report.CarriedOver ?? [],
        Blocks = [.. (report.Blocks ?? []).Select(Fill)],
        Vocabulary = [.. (report.Vocabulary ?? []).Select(matrix => matrix with { Warnings = matrix.Warnings ?? [] })],
        Warnings = report.Warnings ?? [],
        TextWarnings = report.TextWarnings ?? [],
        Tensors = report.Tensors ?? [],
        FullPrecision = Fill(report.FullPrecision),
        Rtn = Fill(report.Rtn),
        Result = Fill(report.Result),
        AsStored = Fill(report.AsStored),
        Tasks = Fill(report.Tasks),
    };

    private static BlockReport Fill(BlockReport block) => block with
    {
        Layers = block.Layers ?? [],
        ExpertTokens = block.ExpertTokens ?? [],
        Warnings = block.Warnings ?? [],
        Activations = block.Activations ?? [],
        Transforms = block.Transforms ?? [],
    };

    /// <summary>The figures with empty lists and tables in the places of missing ones.</summary>
    /// <param name="figures">As they were read; null for none.</param>
    public static EvaluationResult? Fill(EvaluationResult? figures) => figures is null ? null : figures with
    {
        StandardErrors = figures.StandardErrors ?? new Dictionary<string, double>(),
        Depth = figures.Depth is null ? null : figures.Depth with { Samples = figures.Depth.Samples ?? [], Modules = figures.Depth.Modules ?? [] },
        Tasks = Fill(figures.Tasks),
    };

    private static TaskReport? Fill(TaskReport? tasks) => tasks is null ? null : tasks with
    {
        Notes = tasks.Notes ?? [],
        Tasks = tasks.Tasks.ToDictionary(task => task.Key, task => task.Value.Metrics is null ? task.Value with { Metrics = new Dictionary<string, Metric>() } : task.Value),
    };
}
