using System.Diagnostics;
using System.Globalization;
using LowRankQuant.Evaluation;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Tuning;
using LowRankQuant.Quantization.Vocabulary;
using LowRankQuant.Runs.Measuring;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Quantizing;

/// <summary>From a job to a finished folder: calibration, blocks, output, measurement, report.</summary>
public sealed class QuantizeRun : IQuantizeRun
{
    /// <inheritdoc/>
    public RunReport Run(QuantizeJob job, IRunObserver observer, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        job.Model.Selection = job.Recipe.Selection;
        using OutputLock held = OutputLock.TakeFolder(job.Output);
        if (held.TakenOver is { } note) observer.Note(note);
        string reportFile = Path.Combine(Path.GetFullPath(job.Output), RunFolder.ReportName);
        // What would stop the run at its end is found before the work begins, and before anything is deleted; a finished run needs no work.
        bool looked = job.Redo is not null || !File.Exists(reportFile);
        if (looked) RunPreflight.Require(job);
        CalibrationSet? calibration = LoadCalibration(job, observer, cancellation);
        var fingerprint = RunFingerprint.Of(
            job.Model.Checkpoint, calibration?.Fingerprint ?? RunFingerprint.NoData, job.Recipe, job.Model.Device.Kernels.Name, $"{job.Format} {job.ShardBytes}");
        bool finished = !looked && RunFolder.Holds(job.Output, fingerprint);
        if (!looked && !finished) RunPreflight.Require(job);
        MemoryPlan plan = MemoryPlan.For(job.Model.Config, job.Model.Layout, job.Recipe, job.MemoryBytes);
        if (job.Blocks is null && !finished) DiskPlan.For(job.Model, job.Recipe, plan, job.Format == OutputFormat.Dense).Check(job.Output);
        job.Model.Paging = plan.Paging;
        if (job.Redo is { } redo) RunRedo.Begin(job, redo, calibration, fingerprint, observer, cancellation);
        RunFolder folder = RunFolder.Open(job.Output, fingerprint, job.Overwrite);
        observer.LogTo(folder.LogFile);
        if (finished) return Again(job, reportFile, calibration, folder, new RunClock(folder, start), observer, cancellation);
        using var clock = new RunClock(folder, start);
        return Work(job, plan, calibration, folder, clock, observer, cancellation);
    }

    private static RunReport Work(
        QuantizeJob job, MemoryPlan plan, CalibrationSet? calibration, RunFolder folder, RunClock clock, IRunObserver observer, CancellationToken cancellation)
    {
        CausalModel model = job.Model;
        ITokenizer? tokenizer = RunMeasurement.TokenizerOf(job);
        MeasuredWindows evaluation = job.Blocks is null ? RunMeasurement.Windows(job, calibration, tokenizer) : new MeasuredWindows([], [], []);
        MeasuredText? measured = job.Blocks is null ? job.Measured() : null;
        IReadOnlyList<TextWindow> windows = evaluation.Windows;
        evaluation.Tell(observer);
        IReadOnlyList<string> guesses = model.Architecture.Unknown is { } unknown ? [$"not evaluated: {unknown}."]
            : tokenizer?.Warnings ?? [$"{model.Checkpoint.Location} holds no tokenizer, and the result has none: nothing is measured on text, and no sample is written."];
        foreach (string warning in guesses) observer.Warn(warning);
        List<string> warnings = [.. guesses, .. calibration?.Warnings ?? [], .. evaluation.Warnings];
        calibration?.Save(Path.Combine(folder.Output, "calibration.ids.jsonl"));
        TellOfSource(job, observer);
        observer.Note(plan.Describe());
        var activations = new MemoryBudget(plan.ActivationBytes);
        ModelPlan? widths = PlanModel(job, plan, calibration, activations, folder, observer, cancellation);
        var store = new CompressedBlockStore(job.Recipe.Scheme, widths, job.Recipe.FactorBits);
        var vocabulary = new List<VocabularyReport>();
        VocabularyQuantizer? quantizer = VocabularyStore.Of(model, job.Recipe, folder, store) is not { } matrices ? null
            : new VocabularyQuantizer(model, job.Recipe, matrices) { Progress = new Reporter<VocabularyReport>(done => Tell(done, vocabulary, observer)) };
        IReadOnlyList<BlockReport> blocks = QuantizeBlocks(job, plan, calibration, activations, widths, store, quantizer, folder, clock, observer, cancellation);
        TuningReport? tuning = job.Blocks is null ? Tune(job, calibration, activations, folder, store, observer, cancellation) : null;
        var report = new RunReport
        {
            Tuning = tuning,
            Method = job.Recipe.Method.Method,
            Scheme = job.Recipe.Scheme.ToString(),
            Precision = job.Recipe.Precision == Numerics.Precision.Single ? null : Choices.Of(PrecisionNames.All, job.Recipe.Precision),
            KeptLinears = KeptLinear.Of(model),
            OwnBlocks = [.. job.Recipe.Blocks.Select(own => own.Describe())],
            Quantizers = job.Recipe.DescribeQuantizers() is { Length: > 0 } quantizers ? quantizers : null,
            Output = folder.Output,
            CalibrationShares = calibration is { Shares.Count: > 0 } ? calibration.Shares : null,
            Blocks = blocks,
            Vocabulary = vocabulary,
            CarriedOver = [.. model.Checkpoint.Carried.Select(tensor => tensor.Name).Order(StringComparer.Ordinal)],
            Warnings = [.. model.Checkpoint.Warnings, .. warnings, .. blocks.SelectMany(block => block.Warnings), .. vocabulary.SelectMany(matrix => matrix.Warnings), .. tuning?.Warning is { } untuned ? new[] { untuned } : []],
        };
        if (job.Blocks is not null) return WithEffort(report, clock.Total);
        observer.Stage(RunStage.Writing);
        AdapterForm form = job.AdapterForm ?? AdapterForm.Codes;
        var prepared = new PreparedModel(model, job.Recipe, folder);
        // Not disposed of: it would take the source with it.
        CausalModel written = prepared.HasChanges ? new CausalModel(new ChangedCheckpoint(model.Checkpoint, prepared.Changes()), model.Device) { Selection = model.Selection } : model;
        var writer = new OutputWriter(written, job.Recipe, folder, store) { Texts = job.Texts };
        if (job.Format == OutputFormat.Dense) writer.WriteDense(job.ShardBytes, cancellation);
        else writer.WriteCompressed(job.ShardBytes, form, cancellation);
        bool branches = Directory.Exists(Path.Combine(folder.Output, CheckpointOpener.AdapterFolder));
        report = report with { EvaluationSource = RunMeasurement.SourceOf(job, windows), Measured = measured, TextWarnings = evaluation.Warnings, AdapterForm = branches ? form : null };
        var measurement = new RunMeasurement(job, folder, observer, cancellation);
        report = WithEffort(measurement.Measure(report, windows, tokenizer), clock.Total);
        measurement.Write(report);
        folder.RemoveBlocks();
        clock.Finish();
        return report;
    }

    private static RunReport WithEffort(RunReport report, RunEffort effort) => report with { Seconds = effort.Seconds, PeakMemoryBytes = effort.PeakMemoryBytes };

    private static void Tell(VocabularyReport matrix, List<VocabularyReport> all, IRunObserver observer)
    {
        all.Add(matrix);
        observer.Note(matrix.Describe());
        foreach (string warning in matrix.Warnings) observer.Warn(warning);
    }

    private static void TellOfSource(QuantizeJob job, IRunObserver observer)
    {
        foreach (string known in job.Model.Checkpoint.Warnings) observer.Warn(known);
        var source = SourceStorage.Of(job.Model);
        if (source.Remark is { } remark) observer.Note(remark);
        if (source.Advice(job.Recipe.Method.Budget?.TargetBits ?? StoredSize.GridBits(job.Model, job.Recipe.Scheme)) is { } advice) observer.Warn(advice);
    }

    // A finished run is never computed again; what it was measured on may change, and then it is measured again.
    private static RunReport Again(
        QuantizeJob job, string reportFile, CalibrationSet? calibration, RunFolder folder, RunClock clock, IRunObserver observer, CancellationToken cancellation)
    {
        RunReport done = ReportDefaults.Fill(StoredJson.Read(
            reportFile, RunJson.Default.RunReport, $"the model beside it is whole ('lrq eval {folder.Output}' measures it); delete the folder to make the run again, or choose another `out`"));
        if (job.AdapterForm is { } form && done.AdapterForm is { } has && form != has)
        {
            string held = $"{folder.Output} holds this run, finished, with an adapter of another form";
            throw new RunFolderException(form switch
            {
                AdapterForm.Codes => $"`adapter_form` lrq: {held}; choose another `out`, or delete the folder to make the run again.",
                AdapterForm.Padded => $"`adapter_form` padded: {held}; 'lrq export {folder.Output} `to` compressed-tensors `adapter` peft-padded `out` FOLDER' writes it without quantizing again.",
                _ => $"`adapter_form` pattern: {held}; 'lrq export {folder.Output} `to` compressed-tensors `adapter` peft `out` FOLDER' writes it without quantizing again.",
            });
        }
        // A run that was killed right behind its report still has them.
        folder.RemoveBlocks();
        MeasuredText wanted = job.Measured();
        if (job.Blocks is not null || done.Measured?.Answers(wanted) == true)
        {
            observer.Note($"{folder.Output} holds this run, finished.");
            return done;
        }
        ITokenizer? tokenizer = RunMeasurement.TokenizerOf(job);
        MeasuredWindows evaluation = RunMeasurement.Windows(job, calibration, tokenizer);
        if (done.OutputHash is { } hash && OutputWriter.HashOf(folder.Output) != hash)
        {
            throw new RunFolderException(
                $"{folder.Output} holds this run, finished, but its tensors are not those of {RunFolder.ReportName} any more (SHA-256); 'lrq eval' measures what is there, and deleting the folder makes the run again.");
        }
        bool deeper = done.Measured?.LacksDepthAlone(wanted) == true;
        observer.Note($"{folder.Output} holds this run, finished, and measured on {done.EvaluationSource ?? "nothing"}; {(deeper ? "its result is looked at in depth" : "it is measured again as is asked for now")}.");
        var measurement = new RunMeasurement(job, folder, observer, cancellation);
        evaluation.Tell(observer);
        RunReport again = done with
        {
            EvaluationSource = RunMeasurement.SourceOf(job, evaluation.Windows),
            Measured = wanted,
            // What was said of another text is not true of this one.
            Warnings = [.. done.Warnings.Except(done.TextWarnings), .. evaluation.Warnings],
            TextWarnings = evaluation.Warnings,
        };
        RunReport report = measurement.Measure(again, evaluation.Windows, tokenizer, deeper);
        RunEffort effort = clock.Total;
        report = WithEffort(report, new RunEffort(done.Seconds + effort.Seconds, Math.Max(done.PeakMemoryBytes, effort.PeakMemoryBytes)));
        measurement.Write(report);
        return report;
    }

    private static CalibrationSet? LoadCalibration(QuantizeJob job, IRunObserver observer, CancellationToken cancellation)
    {
        if (job.Calibration is null) return null;
        observer.Stage(RunStage.Calibration);
        CalibrationSet set = CalibrationLoader.Load(
            job.Calibration, job.Model.Checkpoint.FindTokenizer(), job.Model.Config, job.Model,
            new Reporter<CalibrationProgress>(value => observer.Progress(value.Tokens, value.Wanted)), cancellation);
        observer.Note($"calibration: {set.Documents} documents, {set.TokensFound} tokens read, {set.TokensUsed} used in {set.Windows.Length} + {set.HeldOutWindows.Length} held-out windows of {set.SequenceLength}{(set.MoreWindows.Length > 0 ? $" and {set.MoreWindows.Length} more to tune on" : "")}, {set.TokensDropped} dropped");
        if (set.Shares.Count > 0) observer.Note($"windows by weight: {string.Join("; ", set.Shares.Select(share => share.Describe()))}");
        foreach (string warning in set.Warnings) observer.Warn(warning);
        if (job.Calibration.ChatArguments is not null && set.Conversations == 0) observer.Warn("`chat_template_kwargs` had nothing to do in calibration: no text holds a conversation.");
        if (set.Masks is { } masks)
            observer.Note($"learning from assistants alone: {masks.Sum(mask => mask.Count(counts => counts))} of {(long)masks.Length * set.SequenceLength} tokens of these windows count");
        return set;
    }

    // Some methods look at the whole model before its first block; the plan is kept, so that a run that goes on has the same.
    private static ModelPlan? PlanModel(
        QuantizeJob job, MemoryPlan memory, CalibrationSet? calibration, MemoryBudget budget, RunFolder folder, IRunObserver observer, CancellationToken cancellation)
    {
        if (!job.Recipe.Method.PlansModel) return null;
        if (ModelPlan.TryRead(folder.Work) is { } known) return known;
        string? current = null;
        using IDisposable precision = job.Model.Device.With(job.Recipe.Precision);
        ModelPlan plan = job.Recipe.Method.Plan(new ModelPlanContext
        {
            Model = job.Model,
            Scheme = job.Recipe.Scheme,
            Target = job.Recipe.Target?.Engine,
            Calibration = calibration ?? throw new ArgumentException("A method that plans a whole model needs calibration.", nameof(calibration)),
            Tokens = job.Recipe.Method.PlanTokens,
            Activations = budget,
            StatisticsBytes = memory.StatisticsBytes,
            Scratch = folder.Work,
            Seed = job.Recipe.Seed,
            Progress = (stage, done, all) =>
            {
                if (stage != current) observer.Stage(stage);
                current = stage;
                observer.Progress(done, all);
            },
            Cancellation = cancellation,
        });
        // Read back, so that what was large about it is in its file.
        plan.Write(folder.Work);
        return ModelPlan.TryRead(folder.Work);
    }

    private static IReadOnlyList<BlockReport> QuantizeBlocks(
        QuantizeJob job, MemoryPlan memory, CalibrationSet? calibration, MemoryBudget activations, ModelPlan? plan, CompressedBlockStore store,
        VocabularyQuantizer? vocabulary, RunFolder folder, RunClock clock, IRunObserver observer, CancellationToken cancellation)
    {
        int count = Math.Min(job.Blocks ?? int.MaxValue, job.Model.Config.Layers), finished = 0;
        while (finished < count && folder.HasBlock(finished)) finished++;
        observer.BeginBlocks(count, finished);
        var pipeline = new BlockPipeline(job.Model, job.Recipe, folder, store)
        {
            Plan = plan,
            Vocabulary = vocabulary,
            StatisticsBytes = memory.StatisticsBytes,
            StepProgress = new Reporter<BlockProgress>(observer.Step),
            BlockProgress = new Reporter<BlockReport>(report =>
            {
                observer.Block(report);
                clock.Save();
            }),
        };
        return pipeline.Run(calibration, activations, cancellation, job.Blocks);
    }

    private static TuningReport? Tune(
        QuantizeJob job, CalibrationSet? calibration, MemoryBudget activations, RunFolder folder, CompressedBlockStore store, IRunObserver observer,
        CancellationToken cancellation)
    {
        if (job.Recipe.Tuning is not { } tuning) return null;
        if (folder.ReadTuning() is { } done) return done;
        observer.Stage(RunStage.Tuning);
        using IDisposable precision = job.Model.Device.With(job.Recipe.Precision);
        var tuner = new ModelTuner(job.Model, job.Recipe, folder, store)
        {
            Blocks = index => new PreparedModel(job.Model, job.Recipe, folder).Reload(index).Installed(),
            Progress = (done, all) => observer.Progress(done, all),
            Checked = (step, divergence) => observer.Note(string.Create(CultureInfo.InvariantCulture, $"  step {step} of {tuning.Steps}: KL divergence {divergence:G4}")),
        };
        TuningReport report = tuner.Run(calibration ?? throw new ArgumentException("Tuning needs calibration.", nameof(calibration)), activations, cancellation);
        // What was learned is as large as the model where codes were.
        job.Model.Trim();
        observer.Note(string.Create(CultureInfo.InvariantCulture, $"tuned: KL divergence {report.Before:G4} -> {report.After:G4} on {report.Measured}, step {report.KeptStep} of {report.Steps} kept"));
        return report;
    }
}
