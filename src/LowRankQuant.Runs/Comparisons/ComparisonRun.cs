using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Quantizing;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>
/// Runs every method under every scheme, one after the other, on the same model, texts and windows. What is finished lies as a file per cell in <c>cells</c>; a cell that is there and
/// whose key is the same is not run again, whoever made it. Each run is resumable by itself, so that stopping loses no block.
/// </summary>
/// <param name="quantize">Does the runs.</param>
public sealed class ComparisonRun(IQuantizeRun quantize)
{
    /// <summary>Folder of the cells.</summary>
    public const string CellsFolder = "cells";

    /// <summary>Runs what is missing.</summary>
    /// <param name="cells">The cells, in the order of the table.</param>
    /// <param name="output">Folder of the comparison.</param>
    /// <param name="errors">On what errors of block outputs are measured.</param>
    /// <param name="keepModels">Whether quantized models stay; else a model is deleted once its figures are there.</param>
    /// <param name="observer">Is told what happens.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <returns>The figures, in the order of the cells.</returns>
    /// <exception cref="CheckpointException">A file of a cell is damaged.</exception>
    public IReadOnlyList<CellResult> Run(
        IReadOnlyList<ComparisonCell> cells, string output, BlockErrorRequest errors, bool keepModels, IRunObserver observer, CancellationToken cancellation)
    {
        Directory.CreateDirectory(Path.Combine(output, CellsFolder));
        using OutputLock held = OutputLock.TakeFolder(output);
        var results = new List<CellResult>();
        var blocks = new BlockErrorRun(errors, cells.Select(cell => cell.Calibration).FirstOrDefault(calibration => calibration is not null));
        for (int i = 0; i < cells.Count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            ComparisonCell cell = cells[i];
            using OpenedCell? opened = cell.Open?.Invoke();
            string file = Path.Combine(output, CellsFolder, cell.Name + ".json"), key = opened is null ? Hash(Encoding.UTF8.GetBytes($"{cell.Refusal}")) : KeyOf(opened.Job, errors);
            CellResult? known = File.Exists(file) ? StoredJson.Read(file, ComparisonJson.Default.CellResult, "delete it, and the cell is run again") : null;
            if (known?.Key == key)
            {
                observer.Note($"{cell.Scheme}, {cell.Method}: there already");
                results.Add(known);
                continue;
            }
            observer.Note($"{cell.Scheme}, {cell.Method} ({i + 1} of {cells.Count}){(cell.Refusal is null ? "" : $": left out, {cell.Refusal}")}");
            CellResult result = opened is not null ? Run(cell, opened.Job, key, blocks, observer, cancellation) : new CellResult { Method = cell.Method, Scheme = cell.Scheme, Key = key, Refusal = cell.Refusal };
            AtomicFile.WriteAllBytes(file, JsonSerializer.SerializeToUtf8Bytes(result, ComparisonJson.Default.CellResult));
            results.Add(result);
            if (!keepModels && opened is not null && Directory.Exists(opened.Job.Output)) Directory.Delete(opened.Job.Output, recursive: true);
        }
        return results;
    }

    private CellResult Run(ComparisonCell cell, QuantizeJob job, string key, BlockErrorRun blocks, IRunObserver observer, CancellationToken cancellation)
    {
        IReadOnlyList<ErrorText> texts = blocks.Texts(job, cancellation);
        RunReport report = quantize.Run(job, observer, cancellation);
        Recipe recipe = job.Recipe;
        return new CellResult
        {
            Method = cell.Method,
            Scheme = cell.Scheme,
            Key = key,
            Source = Path.GetFileName(report.EvaluationSource),
            Original = report.FullPrecision,
            Result = report.Result,
            BitsPerWeight = report.CountedBitsPerWeight,
            LearnedParameters = job.Model.Layout.Modules.Sum(module => recipe.Method.LearnedParameters(module.OutFeatures, module.InFeatures, recipe.Scheme.For(module.Name).Grid)),
            CalibrationTokens = recipe.LooksAtText ? (long)recipe.Samples * recipe.SequenceLength : 0,
            CalibrationHash = recipe.LooksAtText ? HashOf(Path.Combine(job.Output, "calibration.ids.jsonl")) : null,
            BlockLosses = [.. report.Blocks.Select(block => block.LossAfter).OfType<double>()],
            HeldOutLosses = [.. report.Blocks.Select(block => block.HeldOutLoss).OfType<double>()],
            OutputErrors = BlockErrorRun.Measure(job, texts, observer, cancellation),
            Layers = LayersOf(report, observer),
            Seconds = report.Blocks.Sum(block => block.Seconds),
            PeakMemoryBytes = report.Blocks.Max(block => block.PeakMemoryBytes) ?? 0,
            Machine = job.Model.Device.Name,
        };
    }

    private static LayerReport[]? LayersOf(RunReport report, IRunObserver observer)
    {
        LayerReport[] layers = [.. report.Blocks.SelectMany(block => block.Layers.Select(layer => layer with { Name = $"{block.Index}.{layer.Name}" }))];
        bool differ = layers.Any(layer => layer.Rank > 0) || layers.DistinctBy(layer => layer.Bits).Count() > 1;
        if (!differ) return null;
        if (layers.Length <= CellResult.MostLayers) return layers;
        observer.Note($"{layers.Length} layers; a cell keeps {CellResult.MostLayers} at most, so that this one has no picture of them. The report.json of a result that is kept has all.");
        return null;
    }

    // Kernels and threads change last digits and are not part of it.
    private static string KeyOf(QuantizeJob job, BlockErrorRequest errors)
    {
        var run = RunFingerprint.Of(job.Model.Checkpoint, "", job.Recipe, "", "");
        string texts = string.Join('\n', job.Calibration?.Sources.Select(source => FormattableString.Invariant($"{(source.Path == CalibrationOptions.Self ? source.Path : TextFiles.HashOf(source.Expand()))}{source.Weight}")) ?? []);
        string reading = job.Calibration is not { } calibration ? ""
            : $"{(calibration.AssistantOnly ? "\nassistant" : "")}{(calibration.ChatArguments is { } chat ? $"\n{chat.Text}" : "")}"
                + string.Concat(calibration.Sources.Where(source => source.Join != TextJoin.None || source.MostRows is not null).Select(source => $"\n{source.Join} {source.MostRows}"));
        string asked = !errors.IsOwn ? "" : $"\nerrors {errors.Windows} {string.Join(' ', errors.Texts.Select(HashOf))}";
        return Hash(Encoding.UTF8.GetBytes($"{run.Model}\n{run.Recipe}\n{texts}{reading}\n{JsonSerializer.Serialize(job.Measured(), ComparisonJson.Default.MeasuredText)}{asked}"));
    }

    private static string HashOf(TextInput text)
    {
        IReadOnlyList<string> files = text.Expand();
        string reading = text.Join == TextJoin.None && text.MostRows is null ? "" : FormattableString.Invariant($" {text.Join} {text.MostRows}");
        return (files.Count == 1 ? HashOf(files[0]) : TextFiles.HashOf(files)) + reading;
    }

    private static string HashOf(string file)
    {
        using FileStream stream = File.OpenRead(file);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
