using System.Diagnostics;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Corrections;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Correcting;

/// <summary>From a quantized model and its original to an adapter folder with a report.</summary>
public sealed class CorrectRun : ICorrectRun
{
    /// <inheritdoc/>
    public CorrectReport Run(CorrectJob job, IRunObserver observer, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        using OutputLock held = OutputLock.TakeFolder(job.Output);
        if (held.TakenOver is { } note) observer.Note(note);
        job.Quantized.CheckLinears();
        job.Reference.CheckLinears();
        string[] sourceWarnings = [.. job.Quantized.Checkpoint.Warnings, .. job.Reference.Checkpoint.Warnings];
        foreach (string warning in sourceWarnings) observer.Warn(warning);
        observer.Stage("reading calibration text");
        CalibrationSet calibration = CalibrationLoader.Load(
            job.Calibration, job.Reference.Checkpoint.FindTokenizer(), job.Reference.Config, job.Reference,
            new Reporter<CalibrationProgress>(value => observer.Progress(value.Tokens, value.Wanted)), cancellation);
        foreach (string warning in calibration.Warnings) observer.Warn(warning);
        if (calibration.Windows.Length < job.Calibration.Samples)
        {
            observer.Note($"The calibration text has {calibration.TokensFound} tokens: {calibration.Windows.Length} windows of {calibration.SequenceLength} are used " +
                $"instead of {job.Calibration.Samples}; `samples` and `sequence_length` choose others.");
        }
        var fingerprint = RunFingerprint.OfCorrection(
            job.Quantized.Checkpoint, job.Reference.Checkpoint, calibration.Fingerprint, job.Options.Identity, job.Reference.Device.Kernels.Name,
            $"{job.Form} {job.FactorType}");
        RunFolder folder = RunFolder.Open(job.Output, fingerprint, job.Overwrite);
        observer.LogTo(folder.LogFile);
        string reportFile = Path.Combine(folder.Output, RunFolder.ReportName);
        if (File.Exists(reportFile))
        {
            CorrectReport done = StoredJson.Read(
                reportFile, RunJson.Default.CorrectReport, "the adapter beside it is whole; delete the folder to make the run again, or choose another `out`");
            folder.RemoveBlocks();
            observer.Note($"{folder.Output} holds this run, finished.");
            return done;
        }
        using var clock = new RunClock(folder, start);
        DiskSpace.Require(job.Output, BytesOf(job, calibration));
        int blocks = job.Reference.Config.Layers, finished = Enumerable.Range(0, blocks).TakeWhile(folder.HasBlock).Count();
        if (finished > 0) observer.Note($"{finished} of {blocks} blocks were finished by an earlier session.");
        var correction = new BranchCorrection(job.Quantized, job.Reference, job.Options, folder) { Progress = Stages(observer, clock) };
        var budget = new MemoryBudget(Memory(job));
        IReadOnlyList<CorrectedLayer> layers = correction.Run(calibration, budget, cancellation);
        List<AdapterModule> modules = [.. layers.Select(layer => new AdapterModule(
            layer.Module, layer.Report.OutFeatures, layer.Report.InFeatures, layer.Report.Rank, () => layer.Branch!.A, () => layer.Branch!.B))];
        if (job.Form != AdapterForm.Codes) modules = FusedBranches.Join(modules, FolderForm.Of(job.Quantized.Checkpoint).FusedOf);
        modules = [.. modules.Select(module => module with { Module = job.Quantized.Checkpoint.WrittenName(module.Module) })];
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
            Warnings =
            [
                .. sourceWarnings, .. calibration.Warnings, .. correction.Warnings,
                .. rounded ? new[] { $"the adapter's factors are rounded to {job.FactorType}; errors are those before that" } : [],
            ],
            BaseBytes = job.Quantized.Checkpoint.StoredBytes,
            Seconds = clock.Total.Seconds,
            PeakMemoryBytes = clock.Total.PeakMemoryBytes,
        };
        if (any) AtomicFile.WriteAllText(Path.Combine(job.Output, RankChart.FileName), RankChart.Draw(report.Layers));
        AtomicFile.WriteAllBytes(reportFile, JsonSerializer.SerializeToUtf8Bytes(report, RunJson.Default.CorrectReport));
        folder.RemoveBlocks();
        clock.Finish();
        return report;
    }

    // Branches in the run folder and in the adapter, as floats, and the activations of both models where memory ends.
    private static long BytesOf(CorrectJob job, CalibrationSet calibration)
    {
        const long sideBytes = 16L << 20;
        long branches = 0, streams = 2L * calibration.Windows.Length * calibration.SequenceLength * job.Reference.Config.HiddenSize * sizeof(float);
        foreach ((_, int outFeatures, int inFeatures) in job.Reference.Linears)
            branches += (long)Math.Min(job.Options.Rank, Math.Min(outFeatures, inFeatures)) * (outFeatures + inFeatures) * sizeof(float) * job.Reference.Config.Layers;
        return (2 * branches) + Math.Max(0, streams - Memory(job)) + sideBytes;
    }

    private static long Memory(CorrectJob job) => job.MemoryBytes ?? (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2);

    private static long StoredBits(CorrectJob job)
    {
        using ILowRankAdapter adapter = AdapterOpener.Open(job.Output, job.Quantized.Checkpoint);
        return adapter.Modules.Sum(adapter.StoredBitsOf);
    }

    private static double Weights(CorrectedLayer layer) => (double)layer.Report.OutFeatures * layer.Report.InFeatures;

    private static Action<string, int, int> Stages(IRunObserver observer, RunClock clock)
    {
        string? current = null;
        return (stage, done, all) =>
        {
            if (stage != current) observer.Stage(stage);
            current = stage;
            observer.Progress(done, all);
            clock.Save();
        };
    }
}
