using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Pipeline.Budget;
using LowRankQuant.Quantization.Tuning;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>From a job to a finished folder: calibration, blocks, output, measurement, report.</summary>
public sealed class QuantizeRun : IQuantizeRun
{
    private const int SampleTokens = 48;
    private const int PromptTokens = 8;

    // A result this many times more perplexed than the original says nothing sensible any more.
    private const double CollapseFactor = 10;

    /// <inheritdoc/>
    public RunReport Run(QuantizeJob job, IRunObserver observer, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        CausalModel model = job.Model;
        IBlockMethod method = BlockMethods.Create(job.Recipe);
        CalibrationSet? calibration = LoadCalibration(job, observer, cancellation);
        MemoryPlan plan = MemoryPlan.For(model.Config, model.Linears, job.Recipe, job.MemoryBytes);
        var fingerprint = RunFingerprint.Of(
            model.Checkpoint, calibration?.Fingerprint ?? "none", job.Recipe, model.Device.Kernels.Name, $"{job.Format} {job.ShardBytes}");
        if (job.Blocks is null) DiskPlan.For(model, job.Recipe, plan, job.Format == OutputFormat.Dense).Check(job.Output);
        RunFolder folder = RunFolder.Open(job.Output, fingerprint, job.Overwrite);
        observer.LogTo(folder.LogFile);
        string reportFile = Path.Combine(folder.Output, RunFolder.ReportName);
        if (File.Exists(reportFile) && JsonSerializer.Deserialize(File.ReadAllBytes(reportFile), RunJson.Default.RunReport) is { } done)
        {
            observer.Note($"{folder.Output} holds this run, finished.");
            return done;
        }
        // What would stop the run at its end is found before the work begins.
        model.CheckLinears();
        ITokenizer tokenizer = model.Checkpoint.LoadTokenizer();
        (IReadOnlyList<TextWindow> Windows, string? Source) evaluation = job.Blocks is null ? Windows(job, calibration, tokenizer) : ([], null);
        calibration?.Save(Path.Combine(folder.Output, "calibration.ids.jsonl"));
        observer.Note(plan.Describe());
        var activations = new MemoryBudget(plan.ActivationBytes);
        ModelPlan? widths = PlanModel(job, calibration, activations, folder, observer, cancellation);
        var store = new CompressedBlockStore(job.Recipe.Scheme, widths, job.Recipe.Correction?.FactorBits ?? 16);
        IReadOnlyList<BlockReport> blocks = QuantizeBlocks(job, method, calibration, activations, widths, store, folder, observer, cancellation);
        TuningReport? tuning = job.Blocks is null ? Tune(job, calibration, activations, folder, store, observer, cancellation) : null;
        var report = new RunReport
        {
            Tuning = tuning,
            Method = method.Name,
            Scheme = job.Recipe.Scheme.ToString(),
            Output = folder.Output,
            Blocks = blocks,
            Warnings = [.. blocks.SelectMany(block => block.Warnings), .. tuning?.Warning is { } warning ? new[] { warning } : []],
        };
        if (job.Blocks is not null) return Finish(report, start);
        observer.Stage(RunStage.Writing);
        var writer = new OutputWriter(model, job.Recipe, folder, store);
        if (job.Format == OutputFormat.Dense) writer.WriteDense(job.ShardBytes, cancellation);
        else writer.WriteCompressed(job.ShardBytes, job.AdapterForm, cancellation);
        report = Measure(job, report with { EvaluationSource = evaluation.Source }, evaluation.Windows, tokenizer, folder, observer, cancellation);
        report = Finish(report, start);
        LayerReport[] layers = [.. blocks.SelectMany(block => block.Layers)];
        if (layers.Length > 0) AtomicFile.WriteAllText(Path.Combine(folder.Output, RankChart.FileName), RankChart.Draw(layers));
        AtomicFile.WriteAllText(Path.Combine(folder.Output, "report.md"), ReportMarkdown.Write(report));
        AtomicFile.WriteAllBytes(reportFile, JsonSerializer.SerializeToUtf8Bytes(report, RunJson.Default.RunReport));
        folder.RemoveBlocks();
        return report;
    }

    private static CalibrationSet? LoadCalibration(QuantizeJob job, IRunObserver observer, CancellationToken cancellation)
    {
        if (job.Calibration is null) return null;
        observer.Stage(RunStage.Calibration);
        CalibrationSet set = CalibrationLoader.Load(
            job.Calibration, job.Model.Checkpoint.LoadTokenizer(), job.Model.Config, job.Model, cancellation: cancellation);
        observer.Note($"calibration: {set.Documents} documents, {set.TokensFound} tokens read, {set.TokensUsed} used in {set.Windows.Length} + {set.HeldOutWindows.Length} held-out windows of {set.SequenceLength}{(set.MoreWindows.Length > 0 ? $" and {set.MoreWindows.Length} more to tune on" : "")}, {set.TokensDropped} dropped");
        return set;
    }

    // flrq+ looks at the whole model before its first block; the plan is kept, so that a run that goes on has the same.
    private static ModelPlan? PlanModel(
        QuantizeJob job, CalibrationSet? calibration, MemoryBudget budget, RunFolder folder, IRunObserver observer, CancellationToken cancellation)
    {
        if (job.Recipe is not { Method: QuantizationMethod.FlrqPlus, Correction: { UsesSensitivity: true } correction }) return null;
        if (ModelPlan.TryRead(folder.Work) is { } known) return known;
        string? current = null;
        var planner = new ModelPlanner(job.Model, job.Recipe.Seed, correction.Damping, folder.Work)
        {
            Progress = (stage, done, all) =>
            {
                if (stage != current) observer.Stage(stage);
                current = stage;
                observer.Progress(done, all);
            },
        };
        CalibrationSet windows = calibration ?? throw new ArgumentException("flrq+ needs calibration.", nameof(calibration));
        int Rank(LinearShape shape) => correction.RankFor(shape.OutFeatures, shape.InFeatures, job.Recipe.Bits);
        ModelPlan plan = correction.TargetBits is { } target
            ? planner.Spend(windows, budget, target, new GridChoices(job.Recipe, correction, job.Model.Device.HostWorkers), cancellation)
            : planner.Uniform(windows, budget, Rank, cancellation);
        plan.Write(folder.Work);
        return plan;
    }

    private static IReadOnlyList<BlockReport> QuantizeBlocks(
        QuantizeJob job, IBlockMethod method, CalibrationSet? calibration, MemoryBudget activations, ModelPlan? plan, CompressedBlockStore store,
        RunFolder folder, IRunObserver observer, CancellationToken cancellation)
    {
        int count = Math.Min(job.Blocks ?? int.MaxValue, job.Model.Config.Layers), finished = 0;
        while (finished < count && folder.HasBlock(finished)) finished++;
        observer.BeginBlocks(count, finished);
        var pipeline = new BlockPipeline(job.Model, job.Recipe, folder, store)
        {
            Plan = plan,
            StepProgress = new Reporter<BlockProgress>(observer.Step),
            BlockProgress = new Reporter<BlockReport>(observer.Block),
        };
        return pipeline.Run(method, calibration, activations, cancellation, job.Blocks);
    }

    private static TuningReport? Tune(
        QuantizeJob job, CalibrationSet? calibration, MemoryBudget activations, RunFolder folder, CompressedBlockStore store, IRunObserver observer,
        CancellationToken cancellation)
    {
        if (job.Recipe.Tuning is null) return null;
        if (folder.ReadTuning() is { } done) return done;
        observer.Stage(RunStage.Tuning);
        var tuner = new ModelTuner(job.Model, job.Recipe, folder, store) { Progress = (done, all) => observer.Progress(done, all) };
        TuningReport report = tuner.Run(calibration ?? throw new ArgumentException("Tuning needs calibration.", nameof(calibration)), activations, cancellation);
        observer.Note(string.Create(CultureInfo.InvariantCulture, $"tuned: KL divergence {report.Before:G4} -> {report.After:G4} on {report.Measured}, step {report.KeptStep} of {report.Steps} kept"));
        return report;
    }

    private static RunReport Measure(
        QuantizeJob job, RunReport report, IReadOnlyList<TextWindow> windows, ITokenizer tokenizer, RunFolder folder, IRunObserver observer,
        CancellationToken cancellation)
    {
        CausalModel model = job.Model;
        using var result = new CausalModel(CheckpointOpener.Open(folder.Output), model.Device);
        double grid = StoredSize.GridBits(model, job.Recipe.Scheme);
        StoredParts stored = StoredSize.Parts(result);
        double bits = StoredSize.BitsPerWeight(result, stored.LinearBytes + stored.BranchBytes);
        double counted = job.Format == OutputFormat.Dense
            ? StoredSize.LayerBits(report.Blocks) ?? grid
            : StoredSize.BitsPerWeight(result, stored.LinearBytes + stored.CountedBranchBytes);
        report = report with
        {
            BitsPerWeight = bits,
            CountedBitsPerWeight = counted,
            Stored = stored,
            Warnings = [.. report.Warnings, .. AdapterWarning(stored, bits, counted)],
            SourceBytes = model.Checkpoint.StoredBytes,
            Bf16Bytes = 2 * StoredSize.Parameters(model),
            ResultBytes = result.Checkpoint.StoredBytes,
            EmbeddingBytes = 2L * model.Config.VocabularySize * model.Config.HiddenSize * (model.Config.TiedEmbeddings ? 1 : 2),
            OutputHash = OutputWriter.HashOf(folder.Output),
        };
        var memory = new ModelRunnerOptions { MemoryBytes = job.MemoryBytes / 2, ScratchFolder = folder.Work };
        var options = new EvaluationOptions { Memory = memory };
        using var full = new ModelRunner(model, memory);
        if (windows.Count > 0)
        {
            EvaluationResult Evaluate(string stage, ModelRunner runner, ModelRunner? reference)
            {
                observer.Stage(stage);
                var progress = new Reporter<EvaluationProgress>(value => observer.Progress(value.Done, value.Total));
                return new Evaluator(runner, reference).Evaluate(windows, options, progress, cancellation);
            }

            EvaluationResult original = Evaluate(RunStage.Original, full, null);
            report = report with { FullPrecision = original with { ModelBitsPerWeight = StoredSize.ModelBits(model) } };
            if (!IsBaseline(job.Recipe))
            {
                using var rounded = new ModelRunner(model, memory, index => RoundedBlock(model, job.Recipe, index));
                report = report with { Rtn = Evaluate(RunStage.Baseline, rounded, full) with { BitsPerWeight = grid } };
            }
            using var quantized = new ModelRunner(result, memory);
            report = report with
            {
                Result = Evaluate(RunStage.Result, quantized, full) with { BitsPerWeight = bits, ModelBitsPerWeight = StoredSize.ModelBits(result) },
            };
        }
        full.ReleaseBlocks();
        return Judge(report with { Sample = Sample(job, result, tokenizer, windows, observer, cancellation) });
    }

    private static IEnumerable<string> AdapterWarning(StoredParts stored, double bits, double counted)
    {
        if (stored.BranchBytes == stored.CountedBranchBytes) yield break;
        yield return string.Create(
            CultureInfo.InvariantCulture,
            $"the PEFT folder holds the branches in {stored.BranchBytes:N0} bytes, lrq's own file in {stored.CountedBranchBytes:N0}: {bits:F3} bits per weight in place of {counted:F3}") +
            ". Leave --adapter-form out, or give lrq.";
    }

    private static (IReadOnlyList<TextWindow> Windows, string? Source) Windows(QuantizeJob job, CalibrationSet? calibration, ITokenizer tokenizer)
    {
        if (job.EvaluationText is { } file)
        {
            var options = new TextWindowOptions { Windows = job.EvaluationWindows };
            // Three measurements and the sample take the same windows; whatever is wrong with them shows before the work begins.
            return ([.. new TextFileWindows(file, tokenizer, job.Model.Config, AddBos.Auto, options)], file);
        }
        if (calibration is not { HeldOutWindows.Length: > 0 }) return ([], null);
        return ([.. calibration.HeldOutWindows.Select(ids => new TextWindow(ids))], "held-out calibration windows");
    }

    private static DecoderBlock RoundedBlock(CausalModel model, Recipe recipe, int index)
    {
        DecoderBlock block = model.LoadBlock(index);
        SlotSwap.ReplaceByRounded(block, Baseline(recipe), model.Device);
        return block;
    }

    // Uniform grids on the plain range, as everybody rounds; two-level ones searched for, as their engine does.
    private static Scheme Baseline(Recipe recipe) => recipe.SchemeFrom(GridStart.MinMax);

    // Its result is the baseline already.
    internal static bool IsBaseline(Recipe recipe) => recipe is { Method: QuantizationMethod.Rtn, TwoLevelGrid: not null };

    private static string? Sample(
        QuantizeJob job, CausalModel result, ITokenizer tokenizer, IReadOnlyList<TextWindow> windows, IRunObserver observer, CancellationToken cancellation)
    {
        // Sampling holds the whole model as 32-bit floats; a large model is quantized block by block just because that does not fit.
        long weights = sizeof(float) * (result.Config.LinearWeights + (2L * result.Config.VocabularySize * result.Config.HiddenSize));
        if (weights > (job.MemoryBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes) / 4 * 3)
        {
            observer.Note("no sample text: the model's weights as 32-bit floats do not fit the memory budget.");
            return null;
        }
        string prompt = windows.Count == 0 ? "" : tokenizer.Decode(windows[0].Ids.AsSpan(0, Math.Min(PromptTokens, windows[0].Ids.Length)), skipSpecialTokens: true);
        try
        {
            return TextGenerator.Generate(result, tokenizer, prompt, SampleTokens, cancellation: cancellation);
        }
        catch (EvaluationException)
        {
            // A model without a token to begin with and a run without text: there is nothing to continue.
            return null;
        }
    }

    private static RunReport Judge(RunReport report)
    {
        if (report is not { FullPrecision.Perplexity: { } full, Result.Perplexity: { } result } || result < CollapseFactor * full) return report;
        IEnumerable<int> worst = report.Blocks.Where(block => block.HeldOutLoss is not null || block.LossAfter is not null)
            .OrderByDescending(block => block.HeldOutLoss ?? block.LossAfter).Take(3).Select(block => block.Index);
        return report with
        {
            Warnings = [.. report.Warnings, $"the result has collapsed: perplexity {result:F1} against {full:F1}; worst blocks: {string.Join(", ", worst)}. Use more bits, smaller groups or more iterations."],
        };
    }

    private static RunReport Finish(RunReport report, long start)
    {
        using Process process = Process.GetCurrentProcess();
        return report with { Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds, PeakMemoryBytes = process.PeakWorkingSet64 };
    }

    private sealed class Reporter<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }
}
