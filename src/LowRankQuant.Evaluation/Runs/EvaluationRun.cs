using System.Text;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>Measures a model as <c>lrq eval</c> does: text to windows, windows to figures, and the size of what is stored.</summary>
public sealed class EvaluationRun : IEvaluationRun
{
    /// <inheritdoc/>
    public EvaluationResult Run(EvaluationJob job, IRunObserver observer, CancellationToken cancellation)
    {
        IReadOnlyList<TextWindow> windows = ReadWindows(job, observer);
        // Both models share the memory.
        var memory = new ModelRunnerOptions { MemoryBytes = job.Reference is null ? job.MemoryBytes : job.MemoryBytes / 2 };
        using var runner = new ModelRunner(job.Model, memory);
        using ModelRunner? reference = job.Reference is null ? null : new ModelRunner(job.Reference, memory);
        observer.Stage($"measuring {windows.Count} windows, {windows.Sum(window => (long)window.ScoredTokens)} tokens");
        var options = new EvaluationOptions { Average = job.Average, Memory = memory };
        var progress = new Reporter(observer);
        EvaluationResult result = new Evaluator(runner, reference).Evaluate(windows, options, progress, cancellation);
        return result with { BitsPerWeight = StoredSize.LinearBits(job.Model), ModelBitsPerWeight = StoredSize.ModelBits(job.Model) };
    }

    private static IReadOnlyList<TextWindow> ReadWindows(EvaluationJob job, IRunObserver observer)
    {
        if (job.Ids is not null) return TextWindows.ReadIds(job.Ids, job.Model.Config, job.Windows.Windows);
        string file = job.Text ?? throw new ArgumentException("A text or ids are needed.", nameof(job));
        observer.Stage($"reading {file}");
        return CutText(file, job.Model.Checkpoint.LoadTokenizer(), job.Model.Config, job.AddBos, job.Windows);
    }

    /// <summary>The windows of a text file.</summary>
    /// <exception cref="EvaluationException">The file is absent, not UTF-8, or too short.</exception>
    internal static IReadOnlyList<TextWindow> CutText(string file, ITokenizer tokenizer, DecoderConfig config, AddBos addBos, TextWindowOptions options)
    {
        if (!File.Exists(file)) throw new EvaluationException($"'{file}' is not a file; name a text to measure on.");
        string text;
        try
        {
            text = File.ReadAllText(file, new UTF8Encoding(false, throwOnInvalidBytes: true));
        }
        catch (DecoderFallbackException failure)
        {
            throw new EvaluationException($"'{file}' is not UTF-8 text.", failure);
        }
        int[] ids = tokenizer.Encode(text, addSpecialTokens: false);
        bool add = addBos switch { AddBos.Yes => true, AddBos.No => false, _ => tokenizer.AddsBos };
        if (add)
        {
            int bos = tokenizer.BosId ?? config.BosId
                ?? throw new EvaluationException("--add-bos yes: neither the tokenizer nor the configuration names a begin-of-text token.");
            ids = [bos, .. ids];
        }
        return TextWindows.Cut(ids, options, config);
    }

    private sealed class Reporter(IRunObserver observer) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value) => observer.Progress(value.Done, value.Total);
    }
}
