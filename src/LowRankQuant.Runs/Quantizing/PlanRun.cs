using System.Diagnostics;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Quantizing;

/// <summary>Looks at a quantization run before it starts: rules, memory, disk, sizes, and the time of one block.</summary>
public static class PlanRun
{
    /// <summary>Makes the plan. Whatever is wrong is collected, not thrown.</summary>
    /// <param name="job">The run.</param>
    /// <param name="problems">What is wrong with the request already.</param>
    /// <param name="notes">What the user should know already.</param>
    /// <param name="timed">Whether the first block is timed; it is not when there are problems.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static PlanReport Run(QuantizeJob job, IReadOnlyList<string> problems, IReadOnlyList<string> notes, bool timed, CancellationToken cancellation)
    {
        CausalModel model = job.Model;
        Recipe recipe = job.Recipe;
        model.Selection = recipe.Selection;
        var found = new List<string>(problems);
        found.AddRange(RunPreflight.Problems(job));
        if (job.Output.Length > 0 && OutputLock.Conflict(job.Output) is { } conflict) found.Add(conflict);
        double? reading = ReadCalibration(found, job, cancellation);
        Scheme scheme = recipe.Scheme;
        bool fits = model.Layout.Modules.All(linear => scheme.For(linear.Name).Grid.Divides(linear.InFeatures));
        MemoryPlan? memory = null;
        DiskPlan? disk = null;
        Check(found, () => memory = MemoryPlan.For(model.Config, model.Layout, recipe, job.MemoryBytes));
        model.Paging = memory?.Paging ?? WeightPaging.None;
        if (fits)
        {
            disk = DiskPlan.For(model, recipe, memory ?? new MemoryPlan(0, 0, 0), job.Format == OutputFormat.Dense);
            Check(found, () => disk.Check(job.Output.Length > 0 ? job.Output : "."));
        }
        double? budget = recipe.Method.Budget?.TargetBits;
        // Grids that a budget chooses are not known before it is spent.
        bool known = recipe.Method.Budget is not { ChoosesGrids: true };
        PlannedGrid[] layers = fits && known ? Layers(model, recipe, scheme) : [];
        PlannedGrid[] vocabulary = [.. Vocabulary(model, recipe)];
        bool works = found.Count == 0;
        Func<long?>? peak = works && timed ? ProcessMemory.BeginSection() : null;
        BlockTiming? time = works && timed ? BlockTiming.Measure(model, recipe, memory!.StatisticsBytes, cancellation) : null;
        long? timedPeak = peak?.Invoke();
        IReadOnlyList<TimedStage> stages = time is null ? [] : new RunTiming(job, time, reading).Estimate();
        double? bits = fits ? budget ?? scheme.BitsPerWeight(model.Layout.Modules) : null, targetBits = Mean(layers);
        var source = SourceStorage.Of(model);
        return new PlanReport
        {
            Works = works,
            Problems = found,
            Notes = [.. notes, .. model.Checkpoint.Warnings.Select(warning => $"warning: {warning}"), .. source.Remark is { } remark ? new[] { remark } : [], .. fits && known && source.Again(model, scheme) is { } again ? new[] { again } : [], .. source.Advice(bits) is { } advice ? new[] { advice } : []],
            SourceBitsPerWeight = source.BitsPerWeight,
            SourceTypes = source.Types,
            SourceBytes = model.Checkpoint.StoredBytes,
            Scheme = $"{recipe.Method.Method}, {scheme}",
            Target = recipe.Target is { } target ? TargetNames.Of(target.Engine) : null,
            Layers = layers,
            KeptLinears = KeptLinear.Of(model),
            BitsPerWeight = bits,
            Vocabulary = vocabulary,
            ResultBytes = Bytes(model, bits, recipe.ScaleType, vocabulary, matrix => matrix.BitsPerWeight),
            ResultBitsPerParameter = Bytes(model, bits, recipe.ScaleType, vocabulary, matrix => matrix.BitsPerWeight) * 8.0 / StoredSize.Parameters(model),
            TargetBitsPerWeight = targetBits,
            TargetBytes = Bytes(model, targetBits, ScaleType.Float16, vocabulary, matrix => matrix.TargetBitsPerWeight ?? matrix.BitsPerWeight),
            BlockBytes = memory?.FixedBytes,
            BlockParts = memory is null ? null : PagingNames.Of(memory.Paging),
            StatisticsBytes = memory?.StatisticsBeside is > 0 and var statistics ? statistics : null,
            ActivationBytes = memory?.StreamBytes,
            ActivationBytesInMemory = memory is null ? null : Math.Min(memory.StreamBytes, memory.ActivationBytes),
            KeptBlockBytes = memory?.KeptBytes is > 0 and var kept ? kept : null,
            DiskBytes = disk?.Bytes,
            BlockSeconds = time?.Seconds,
            TimedPeakBytes = timedPeak,
            Stages = stages,
            Seconds = time is null ? null : stages.Sum(stage => stage.Seconds),
            RestartSeconds = time is { Restarts: > 0 } ? model.Config.Layers * time.Restarts : null,
        };
    }

    private static PlannedGrid[] Layers(CausalModel model, Recipe recipe, Scheme scheme) =>
        [.. model.Linears.Concat(model.Modules.Where(linear => recipe.Layers?.ContainsKey(linear.Name) == true)).Select(linear => Planned(recipe, linear, scheme.For(linear.Name).Grid))];

    private static IEnumerable<PlannedGrid> Vocabulary(CausalModel model, Recipe recipe)
    {
        if (recipe.Vocabulary is not { } vocabulary || model.Layout.Vocabulary is not { } shape) yield break;
        foreach (VocabularyPart part in vocabulary.Parts)
            yield return Planned(recipe, new LinearShape(VocabularyRecipe.ModuleOf(shape, part), shape.Rows, shape.Width), vocabulary.GridOf(part).ToGrid());
    }

    private static PlannedGrid Planned(Recipe recipe, LinearShape linear, WeightGrid grid)
    {
        double own = (double)grid.StoredBits(linear.OutFeatures, linear.InFeatures, recipe.ScaleType) / ((double)linear.OutFeatures * linear.InFeatures);
        TargetFit? fit = recipe.Target is { } target
            ? TargetFit.Of(target.Engine, linear.Name, linear.OutFeatures, linear.InFeatures, grid, recipe.ScaleType)
            : null;
        bool held = fit is { Misfit: null };
        return new PlannedGrid(linear.Name, linear.OutFeatures, linear.InFeatures, grid.ToString(), own, held ? fit!.Container : null, held ? fit!.BitsPerWeight : null);
    }

    private static double? Mean(PlannedGrid[] layers)
    {
        if (layers.Length == 0 || layers.Any(layer => layer.TargetBitsPerWeight is null)) return null;
        double bits = 0, weights = 0;
        foreach (PlannedGrid layer in layers)
        {
            double count = (double)layer.OutFeatures * layer.InFeatures;
            bits += count * layer.TargetBitsPerWeight!.Value;
            weights += count;
        }
        return bits / weights;
    }

    // Linears, quantized embedding and head, and everything else as floats.
    private static long? Bytes(CausalModel model, double? bits, ScaleType rest, PlannedGrid[] vocabulary, Func<PlannedGrid, double> bitsOf)
    {
        if (bits is null) return null;
        long quantized = model.LinearWeights + vocabulary.Sum(Weights);
        return (long)(bits.Value * model.LinearWeights / 8) + (long)vocabulary.Sum(matrix => bitsOf(matrix) * Weights(matrix) / 8)
            + ((StoredSize.Parameters(model) - quantized) * (rest == ScaleType.Float32 ? 4 : 2));

        static long Weights(PlannedGrid matrix) => (long)matrix.OutFeatures * matrix.InFeatures;
    }

    private static void Check(List<string> problems, Action check)
    {
        if (RunPreflight.Problem(check) is { } problem) problems.Add(problem);
    }

    // Read as the run will read it; text that the model has to write itself takes too long for a plan. Null where nothing was read.
    private static double? ReadCalibration(List<string> found, QuantizeJob job, CancellationToken cancellation)
    {
        if (job.Calibration is not { } calibration || calibration.IsSelf || calibration.Samples < 1) return null;
        long start = Stopwatch.GetTimestamp();
        int before = found.Count;
        Check(found, () => CalibrationLoader.Load(calibration, job.Model.Checkpoint.FindTokenizer(), job.Model.Config, job.Model, cancellation: cancellation));
        return found.Count == before ? Stopwatch.GetElapsedTime(start).TotalSeconds : null;
    }
}
