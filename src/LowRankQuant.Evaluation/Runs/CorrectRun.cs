using System.Diagnostics;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>From a quantized model and its original to an adapter folder with a report.</summary>
public sealed class CorrectRun : ICorrectRun
{
    /// <inheritdoc/>
    public CorrectReport Run(CorrectJob job, IRunObserver observer, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        observer.Stage("reading calibration text");
        CalibrationSet calibration = CalibrationLoader.Load(
            job.Calibration, job.Reference.Checkpoint.LoadTokenizer(), job.Reference.Config, job.Reference, cancellation: cancellation);
        var fingerprint = RunFingerprint.OfCorrection(
            job.Quantized.Checkpoint, job.Reference.Checkpoint, calibration.Fingerprint, job.Options, job.Reference.Device.Kernels.Name,
            $"{job.Form} {job.FactorType}");
        RunFolder folder = RunFolder.Open(job.Output, fingerprint, job.Overwrite);
        observer.LogTo(folder.LogFile);
        string reportFile = Path.Combine(folder.Output, RunFolder.ReportName);
        if (File.Exists(reportFile) && JsonSerializer.Deserialize(File.ReadAllBytes(reportFile), RunJson.Default.CorrectReport) is { } done)
        {
            observer.Note($"{folder.Output} holds this run, finished.");
            return done;
        }
        int blocks = job.Reference.Config.Layers, finished = Enumerable.Range(0, blocks).TakeWhile(folder.HasBlock).Count();
        if (finished > 0) observer.Note($"{finished} of {blocks} blocks were finished by an earlier session.");
        var correction = new BranchCorrection(job.Quantized, job.Reference, job.Options, folder) { Progress = Stages(observer) };
        var budget = new MemoryBudget(job.MemoryBytes ?? (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2));
        IReadOnlyList<CorrectedLayer> layers = correction.Run(calibration, budget, cancellation);
        var modules = layers.Select(layer => new AdapterModule(
            layer.Module, layer.Report.OutFeatures, layer.Report.InFeatures, layer.Report.Rank, () => layer.Branch!.A, () => layer.Branch!.B)).ToList();
        bool any = modules.Exists(module => module.Rank > 0);
        bool rounded = AdapterOutput.Write(job.Output, modules, job.Form, job.FactorType, job.Quantized.Checkpoint.Location, job.Options.FactorBits);
        long counted = layers.Sum(layer => layer.Branch?.StoredBits ?? 0), stored = any ? StoredBits(job) : 0;
        double weights = layers.Sum(Weights), bits = layers.Sum(layer => layer.Report.BitsPerWeight * Weights(layer));
        var report = new CorrectReport
        {
            Output = any ? Path.GetFullPath(job.Output) : null,
            BaseBitsPerWeight = (bits - counted) / weights,
            BitsPerWeight = (bits - counted + stored) / weights,
            CountedBitsPerWeight = bits / weights,
            AdapterBytes = stored / 8,
            CountedAdapterBytes = counted / 8,
            Layers = [.. layers.Select(layer => layer.Report with { Name = layer.Module })],
            Warnings = rounded
                ? [.. correction.Warnings, $"the adapter's factors are rounded to {job.FactorType}; errors are those before that"]
                : [.. correction.Warnings],
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
        };
        if (any) AtomicFile.WriteAllText(Path.Combine(job.Output, RankChart.FileName), RankChart.Draw(report.Layers));
        AtomicFile.WriteAllBytes(reportFile, JsonSerializer.SerializeToUtf8Bytes(report, RunJson.Default.CorrectReport));
        folder.RemoveBlocks();
        return report;
    }

    private static long StoredBits(CorrectJob job)
    {
        using ILowRankAdapter adapter = AdapterOpener.Open(job.Output, job.Quantized.Checkpoint);
        return adapter.Modules.Sum(adapter.StoredBitsOf);
    }

    private static double Weights(CorrectedLayer layer) => (double)layer.Report.OutFeatures * layer.Report.InFeatures;

    private static Action<string, int, int> Stages(IRunObserver observer)
    {
        string? current = null;
        return (stage, done, all) =>
        {
            if (stage != current) observer.Stage(stage);
            current = stage;
            observer.Progress(done, all);
        };
    }
}
