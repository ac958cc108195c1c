using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Measuring;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>
/// Errors of block outputs of the results of a comparison. All cells are measured on the same calibration windows, whether they learn from text or not, and on windows of the same
/// length of the other texts.
/// </summary>
/// <param name="request">On what.</param>
/// <param name="calibration">Where calibration windows come from; null where no cell looks at text.</param>
internal sealed class BlockErrorRun(BlockErrorRequest request, CalibrationOptions? calibration)
{
    private const string ByName = "the ending of its name, .txt, .jsonl or .ids:";
    private int[][]? _calibration;

    private int Most => request.Windows ?? BlockErrorRequest.UsualWindows;

    /// <summary>The windows that a cell is measured on, read before it is run, so that whatever is wrong with them shows before the work.</summary>
    /// <param name="job">The run of the cell.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <returns>A text each; none where the run writes no model, or one that cannot be run, and where there is no text.</returns>
    /// <exception cref="EvaluationException">Errors were asked for, and there is nothing to measure them on.</exception>
    public IReadOnlyList<ErrorText> Texts(QuantizeJob job, CancellationToken cancellation)
    {
        bool runs = job.Blocks is null && job.Model.Architecture.Unknown is null;
        List<ErrorText> texts = runs ? Read(job, cancellation) : [];
        if (texts.Count == 0 && request.IsOwn)
            throw new EvaluationException($"`rmse_text` and `rmse_windows` are about errors of blocks, and {(runs ? "there is no text to measure them on: name one" : "these runs give no model that can be run: leave them out")}.");
        return texts;
    }

    /// <summary>Measures the result of a run.</summary>
    /// <param name="job">The run, finished.</param>
    /// <param name="texts">What it is measured on.</param>
    /// <param name="observer">Is told how far it is.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static IReadOnlyList<BlockErrors> Measure(QuantizeJob job, IReadOnlyList<ErrorText> texts, IRunObserver observer, CancellationToken cancellation)
    {
        if (texts.Count == 0) return [];
        observer.Stage(RunStage.BlockErrors);
        RunFolder folder = RunFolder.Find(job.Output, out _) ?? throw new RunFolderException($"{job.Output} holds no run whose blocks could be measured.");
        var whole = new ModelRunnerOptions { MemoryBytes = job.MemoryBytes, ScratchFolder = folder.Work };
        ModelRunnerOptions half = whole with { MemoryBytes = whole.Budget / 2 };
        using CausalModel result = WrittenResult.Open(job, folder.Output);
        using var runner = new ModelRunner(result, half, WrittenResult.Blocks(job, result));
        using ModelRunner original = Original(job, folder, half);
        var progress = new Reporter<EvaluationProgress>(value => observer.Progress(value.Done, value.Total));
        return [.. texts.Select(text => new BlockErrors(
            text.Name, text.IsCalibration, text.Windows.Count, text.Windows.Sum(window => (long)window.Length), AccumulatedError.Of(runner, original, text.Windows, progress, cancellation)))];
    }

    private List<ErrorText> Read(QuantizeJob job, CancellationToken cancellation)
    {
        var texts = new List<ErrorText>();
        if (calibration is not null)
        {
            // Windows are cut from the start of the text, the first ones alike however many there are.
            CalibrationOptions first = calibration with { Samples = Math.Min(Most, calibration.Samples), HeldOut = 0, MoreSamples = 0 };
            _calibration ??= CalibrationLoader.Load(first, job.Model.Checkpoint.FindTokenizer(), job.Model.Config, job.Model, cancellation: cancellation).Windows;
            texts.Add(new ErrorText(string.Join(", ", calibration.Sources.Select(source => Path.GetFileName(source.Name))), IsCalibration: true, _calibration));
        }
        QuantizeJob[] unseen = request.Texts.Count > 0
            ? [.. request.Texts.Select(text => Of(job, text))]
            : job.EvaluationText is null ? [] : [job];
        if (unseen.Length == 0) return texts;
        ITokenizer tokenizer = job.Model.Checkpoint.LoadTokenizer();
        foreach (QuantizeJob text in unseen)
        {
            QuantizeJob cut = text with { EvaluationWindows = Most, EvaluationContext = calibration?.SequenceLength ?? job.EvaluationContext };
            texts.Add(new ErrorText(text.EvaluationTextOptions.Name ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(text.EvaluationText!)), IsCalibration: false, [.. RunMeasurement.TextOf(cut, tokenizer).Select(window => window.Ids)]));
        }
        return texts;
    }

    private static QuantizeJob Of(QuantizeJob job, TextInput text) => job with
    {
        EvaluationText = text.Path,
        EvaluationTextOptions = new TextSourceOptions
        {
            TextField = job.EvaluationTextOptions.TextField,
            ChatArguments = job.EvaluationTextOptions.ChatArguments,
            FormatOption = ByName,
            Files = text.Files,
            Name = text.Name == text.Path ? null : text.Name,
            Join = text.Join == TextJoin.Spaces ? TextJoin.Spaces : TextJoin.None,
            MostRows = text.MostRows,
        },
        JoinRows = text.Join == TextJoin.BlankLines,
    };

    // Where the stream of a result is rotated, that of the original is rotated along.
    private static ModelRunner Original(QuantizeJob job, RunFolder folder, ModelRunnerOptions memory)
    {
        if (!job.Recipe.Transforms.Any(transform => transform.ChangesStream)) return new ModelRunner(job.Model, memory);
        var prepared = new PreparedModel(job.Model, job.Recipe, folder);
        return new ModelRunner(job.Model, memory, Rotated) { EmbeddingSource = prepared.LoadEmbedding };

        IDecoderBlock Rotated(int index)
        {
            PreparedBlock loaded = prepared.Reload(index);
            if (loaded.Quantizers is { } quantizers) loaded.Block.Own(quantizers);
            return loaded.Block;
        }
    }
}

/// <summary>Windows of a text on which errors of blocks are measured.</summary>
/// <param name="Name">Name of the text.</param>
/// <param name="IsCalibration">Whether methods learn from it.</param>
/// <param name="Windows">Token ids.</param>
internal sealed record ErrorText(string Name, bool IsCalibration, IReadOnlyList<int[]> Windows);
