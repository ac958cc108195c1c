using System.Globalization;
using System.Runtime.InteropServices;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Verification;
using LowRankQuant.Models.Verification.Engines;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Quantization.Vocabulary;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Measuring;

/// <summary>Measures a written result beside its source and beside round to nearest, and adds the figures to a report.</summary>
/// <param name="job">The run.</param>
/// <param name="folder">Its folder, with the result.</param>
/// <param name="observer">Is told how far it is.</param>
/// <param name="cancellation">Asks to stop.</param>
internal sealed class RunMeasurement(QuantizeJob job, RunFolder folder, IRunObserver observer, CancellationToken cancellation)
{
    private const int SampleTokens = 48;
    private const int PromptTokens = 8;

    // A result this many times more perplexed than the original says nothing sensible any more.
    private const double CollapseFactor = 10;

    private readonly CausalModel _model = job.Model;

    /// <summary>The source's tokenizer; null where it has none and no text is read.</summary>
    /// <exception cref="TokenizerException">It is unsound, or there is none and a text is read.</exception>
    public static ITokenizer? TokenizerOf(QuantizeJob job) =>
        job.HasTokenizer || job.EvaluationText is not null ? job.Model.Checkpoint.LoadTokenizer() : null;

    /// <summary>The windows that a run is measured on, all at once: three measurements and the sample take the same, and whatever is wrong with them shows before the work.</summary>
    public static MeasuredWindows Windows(QuantizeJob job, CalibrationSet? calibration, ITokenizer? tokenizer)
    {
        if (job.EvaluationText is not { } file || tokenizer is null) return new MeasuredWindows([.. (calibration?.HeldOutWindows ?? []).Select(ids => new TextWindow(ids))], [], []);
        TextSource source = SourceOf(job, tokenizer);
        TextFileWindows text = TextOf(job, source, tokenizer);
        TextWindow[] windows = [.. text];
        string? overlap = calibration is null ? null : TextOverlap.Of(file, job.EvaluationTextOptions.Files ?? TextFiles.Of(file), calibration, windows);
        return new MeasuredWindows(
            windows, text.Shortage(windows.Length, "`eval_windows`") is { } shortage ? [shortage] : [], [.. source.Warnings, .. overlap is null ? Array.Empty<string>() : [overlap]]);
    }

    /// <summary>The windows of the evaluation text, read as they are asked for.</summary>
    public static TextFileWindows TextOf(QuantizeJob job, ITokenizer tokenizer) => TextOf(job, SourceOf(job, tokenizer), tokenizer);

    private static TextFileWindows TextOf(QuantizeJob job, TextSource source, ITokenizer tokenizer) =>
        new(source, tokenizer, job.Model.Config, job.AddBos, new TextWindowOptions { Windows = job.EvaluationWindows, Context = job.EvaluationContext }, joinRows: job.JoinRows);

    private static TextSource SourceOf(QuantizeJob job, ITokenizer tokenizer) => new(
        job.EvaluationText!, job.EvaluationTextOptions with { KeepEmptyRows = job.JoinRows }, () => ChatText.Of(job.Model.Checkpoint, tokenizer, job.Model.Config, job.EvaluationTextOptions.ChatArguments));

    /// <summary>What a run is measured on, in words; null where it is not measured.</summary>
    public static string? SourceOf(QuantizeJob job, IReadOnlyList<TextWindow> windows) =>
        (job.EvaluationTextOptions.Name ?? job.EvaluationText) is { } file ? (job.JoinRows ? $"{file}, rows joined by blank lines" : file) : (windows.Count == 0 ? null : "held-out calibration windows");

    // Its result is the baseline already.
    internal static bool IsBaseline(Recipe recipe) => recipe is { Method.RoundsToNearest: true, Grid: TwoLevelGrid };

    /// <summary>Sizes and figures.</summary>
    /// <param name="report">What is known already.</param>
    /// <param name="windows">What is measured on.</param>
    /// <param name="tokenizer">The source's; null where it has none.</param>
    /// <param name="deeper">Whether all is known but what a report in depth says of the result; then nothing beside it is measured again.</param>
    public RunReport Measure(RunReport report, IReadOnlyList<TextWindow> windows, ITokenizer? tokenizer, bool deeper = false)
    {
        using CausalModel result = WrittenResult.Open(job, folder.Output);
        report = WithSizes(deeper ? report : report with { FullPrecision = null, Rtn = null, Result = null, AsStored = null }, result, out Recipe baseline);
        if (windows.Count > 0)
        {
            using var rows = new RowMeasurement(_model, windows, new ModelRunnerOptions { MemoryBytes = job.MemoryBytes, ScratchFolder = folder.Work }, observer, cancellation);
            var source = new SourceStorage(report.SourceBitsPerWeight!.Value, report.SourceTypes);
            observer.Stage(RunStage.Original);
            report = report with
            {
                FullPrecision = rows.Original() with
                {
                    BitsPerWeight = source.IsQuantized ? source.BitsPerWeight : null,
                    ModelBitsPerWeight = StoredSize.ModelBits(_model),
                },
            };
            bool same = false;
            if (!deeper && job.MeasuresRounded && !IsBaseline(job.Recipe))
            {
                observer.Stage(RunStage.Baseline);
                same = new RoundedResult(_model, result, job.Recipe).EqualsBaseline(Rounded, rows.Budget, cancellation);
                if (same) observer.Note("Round to nearest and the result are the same numbers, bit by bit; they are measured once.");
                else report = report with { Rtn = WithRoundedBits(rows.Beside(_model, Rounded, RoundedEmbedding(), RoundedHead())) };
            }
            // A cache that no checkpoint can name lives in the recipe: the result is measured with it, and as its files say.
            Func<int, IDecoderBlock>? beyond = WrittenResult.Blocks(job, result);
            observer.Stage(RunStage.Result);
            DepthMeasurement? depth = job.Depth is null ? null : new DepthMeasurement(job.Depth, result, beyond, tokenizer, observer, cancellation);
            EvaluationResult figures = rows.Beside(result, beyond, depth: depth);
            report = report with { Result = WithBits(figures) };
            if (same) report = report with { Rtn = WithRoundedBits(figures with { Depth = null }) };
            if (beyond is not null && !deeper)
            {
                observer.Stage(RunStage.AsStored);
                report = report with { AsStored = WithBits(rows.Beside(result)) };
            }
        }
        return Judge(deeper ? report : report with { Sample = Sample(result, tokenizer, windows) });

        IDecoderBlock Rounded(int index) => RoundedBlock(index, baseline);

        EvaluationResult WithBits(EvaluationResult figures) => figures with { BitsPerWeight = report.BitsPerWeight, ModelBitsPerWeight = StoredSize.ModelBits(result) };

        EvaluationResult WithRoundedBits(EvaluationResult figures) => figures with
        {
            // As plain floats both take the bits of plain floats.
            BitsPerWeight = job.Format == OutputFormat.Dense ? report.BitsPerWeight : StoredSize.GridBits(_model, baseline.Scheme),
            ModelBitsPerWeight = report.RtnBytes * 8.0 / StoredSize.Parameters(_model),
        };
    }

    private RunReport WithSizes(RunReport report, CausalModel result, out Recipe baseline)
    {
        bool dense = job.Format == OutputFormat.Dense;
        SourceStorage source = SourceStorage.Of(_model);
        long written = result.Checkpoint.StoredBytes;
        StoredParts stored = StoredSize.Parts(result);
        double bits = StoredSize.BitsPerWeight(result, stored.LinearBytes + stored.BranchBytes);
        double counted = dense
            ? StoredSize.LayerBits(report.Blocks) ?? StoredSize.GridBits(_model, job.Recipe.Scheme)
            : StoredSize.BitsPerWeight(result, stored.LinearBytes + stored.CountedBranchBytes);
        (baseline, string? grid) = BaselineGrid.For(_model, job.Recipe, counted);
        string[] notes = [.. source.Advice(counted) is { } text ? new[] { text } : [], .. AdapterWarning(stored, bits, counted)];
        return report with
        {
            BitsPerWeight = bits,
            CountedBitsPerWeight = counted,
            Stored = stored,
            SourceBitsPerWeight = source.BitsPerWeight,
            SourceTypes = source.Types,
            SourceBytes = _model.Checkpoint.StoredBytes,
            Bf16Bytes = 2 * StoredSize.Parameters(_model),
            ResultBytes = written,
            ResultBitsPerParameter = written * 8.0 / StoredSize.Parameters(_model),
            RtnBytes = IsBaseline(job.Recipe) ? null : dense ? written : RoundedSize.Of(folder.Output, _model, baseline, job.ShardBytes),
            RtnGrid = grid,
            EmbeddingBytes = 2L * _model.Config.VocabularySize * _model.Config.HiddenSize * (_model.Config.TiedEmbeddings ? 1 : 2),
            OutputHash = OutputWriter.HashOf(folder.Output),
            Tensors = ResultTensors.Of(job.Recipe.Transforms.Any() ? null : _model, result, cancellation),
            Engines = _model.Architecture.Unknown is null ? EnginesOf(result.Checkpoint) : null,
            Origin = Origin(),
            Warnings = [.. report.Warnings.Where(warning => !warning.StartsWith(Verdict.Collapse, StringComparison.Ordinal)).Except(notes), .. notes],
        };
    }

    private static EngineReport[] EnginesOf(ICheckpoint written) => [.. CheckpointVerifier.EnginesOf(written).Select(verdict => new EngineReport(
        verdict.Engine, verdict.Support switch { EngineSupport.Fast => "fast", EngineSupport.Loads => "loads", _ => "refuses" }, verdict.Reason, verdict.Rules.Versions))];

    private RunOrigin Origin()
    {
        _ = RunFolder.Find(folder.Output, out RunFingerprint? identity);
        return new RunOrigin(
            job.SourceName ?? _model.Checkpoint.Location, job.BaseModel, identity?.Engine ?? "", _model.Device.Name, RuntimeInformation.FrameworkDescription, identity?.Model, identity?.Data, identity?.Recipe);
    }

    private static IEnumerable<string> AdapterWarning(StoredParts stored, double bits, double counted)
    {
        if (stored.BranchBytes == stored.CountedBranchBytes) yield break;
        yield return string.Create(
            CultureInfo.InvariantCulture,
            $"the PEFT folder holds the branches in {stored.BranchBytes:N0} bytes, lrq's own file in {stored.CountedBranchBytes:N0}: {bits:F3} bits per weight in place of {counted:F3}") +
            ". Leave `adapter_form` out, or give lrq.";
    }

    // Uniform grids on the plain range, as everybody rounds; two-level ones searched for, as their engine does.
    private IDecoderBlock RoundedBlock(int index, Recipe baseline)
    {
        IDecoderBlock block = new PreparedModel(_model, job.Recipe, folder).Reload(index, asFound: true).Installed();
        SlotSwap.ReplaceByRounded(block, baseline.SchemeFrom(GridStart.MinMax), _model.Device);
        return block;
    }

    // Embedding and head take part in the baseline where the run quantizes them.
    private Func<InputEmbedding>? RoundedEmbedding() => job.Recipe.Transforms.Any(transform => transform.ChangesStream) ? new PreparedModel(_model, job.Recipe, folder).LoadEmbedding
        : job.Recipe.Vocabulary is not { Embedding: not null } ? null
        : () => _model.LoadEmbedding(VocabularyQuantizer.Nearest(_model, job.Recipe, VocabularyPart.Embedding));

    private Func<OutputHead>? RoundedHead() => job.Recipe.Transforms.Any(transform => transform.ChangesStream) ? new PreparedModel(_model, job.Recipe, folder).LoadHead
        : job.Recipe.Vocabulary is not { Head: not null } vocabulary ? null
        : () => _model.LoadHead(VocabularyQuantizer.Nearest(_model, job.Recipe, vocabulary.Tied ? VocabularyPart.Embedding : VocabularyPart.Head));

    private string? Sample(CausalModel result, ITokenizer? tokenizer, IReadOnlyList<TextWindow> windows)
    {
        if (tokenizer is null) return null;
        // Sampling holds the whole model as 32-bit floats; a large model is quantized block by block just because that does not fit.
        if (!TextGenerator.Fits(result, job.MemoryBytes))
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
            Warnings =
            [
                .. report.Warnings,
                string.Create(CultureInfo.InvariantCulture,
                    $"{Verdict.Collapse}: perplexity {result:F1} against {full:F1}; worst blocks: {string.Join(", ", worst)}. Use more bits, smaller groups or more iterations."),
            ],
        };
    }

    /// <summary>Writes the reports for people and, last, the one for programs.</summary>
    public void Write(RunReport report) => OutputReports.Write(job, folder.Output, report, observer);
}

/// <summary>The windows that a run is measured on, and what there is to say about their text.</summary>
/// <param name="Windows">The windows; none where a run is not measured.</param>
/// <param name="Notes">What is worth knowing.</param>
/// <param name="Warnings">What the user should look at.</param>
internal sealed record MeasuredWindows(IReadOnlyList<TextWindow> Windows, IReadOnlyList<string> Notes, IReadOnlyList<string> Warnings)
{
    /// <summary>Says it.</summary>
    public void Tell(IRunObserver observer)
    {
        foreach (string note in Notes) observer.Note(note);
        foreach (string warning in Warnings) observer.Warn(warning);
    }
}
