using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>
/// Tunes a quantized model as a whole: the scales of all groups and the factors of all branches, and codes where they may move, learn together to bring the model's next-token
/// distributions back to those of full precision (<see cref="TuningLoss"/>). Methods fit blocks one by one and cannot see how their errors add up; this can,
/// and it costs no stored bit. Weights on two-level grids, whose scales are products of stored integers, are constants of it. Training quantization parameters end to end after block-wise work is the second phase of EfficientQAT (Chen et al., 2024);
/// training branches by a loss on the model's output is RILQ (Lee et al., 2024).
/// </summary>
/// <param name="model">The model in full precision.</param>
/// <param name="recipe">What is done.</param>
/// <param name="folder">The run, all of whose blocks are finished.</param>
/// <param name="store">Reads and writes block files.</param>
public sealed class ModelTuner(CausalModel model, Recipe recipe, RunFolder folder, CompressedBlockStore store)
{
    /// <summary>Name of the stage that makes the steps.</summary>
    public const string Stage = "tuning the whole model";

    /// <summary>The best iterate is looked for so many times, evenly; where the run stands is saved as often.</summary>
    public const int Checks = 8;

    /// <summary>Training windows that the loss is measured on where none are held out.</summary>
    public const int MeasuredWindows = 8;

    private const ulong SeedPath = 0x54554E45;

    /// <summary>Told what is done and what there is in all: blocks through which the full-precision model was asked, then steps.</summary>
    public Action<int, int>? Progress { get; init; }

    /// <summary>Told the steps made and the loss measured then, at every check and before the first step.</summary>
    public Action<int, double>? Checked { get; init; }

    /// <summary>Gives a block before it is quantized, with its transforms and quantizers; the source's unless somebody says.</summary>
    public Func<int, IDecoderBlock>? Blocks { get; init; }

    /// <summary>Tunes, and writes the blocks as they are then beside those that the method made.</summary>
    /// <param name="calibration">Token ids.</param>
    /// <param name="budget">Memory for activations.</param>
    /// <param name="cancellation">Asks to stop; a later call goes on from the last check.</param>
    public TuningReport Run(CalibrationSet calibration, MemoryBudget budget, CancellationToken cancellation)
    {
        TuningRecipe options = recipe.Tuning ?? throw new InvalidOperationException("The recipe has no tuning.");
        using ParameterArena arena = CreateArena(out TunedLinear?[][] linears);
        // What blocks were learned with, and what codes began as.
        model.Trim();
        try
        {
            using var loss = new TuningLoss(
                model, calibration, options.Batch, budget, folder.Work, VocabularyStore.Of(model, recipe, folder, store), Load, Report, cancellation);
            TuningReport report = Train(arena, loss, calibration, options, cancellation);
            folder.WriteTuned(report, index => store.Tensors(Stored(index)), model.Config.Layers);
            return report;
        }
        finally
        {
            foreach (TunedLinear? linear in linears.SelectMany(block => block)) linear?.Dispose();
        }

        IDecoderBlock Load(int index)
        {
            // Other weights take the places of the source's, so none of these is made.
            WeightPaging paging = model.Paging;
            model.Paging = WeightPaging.Linears;
            try
            {
                IDecoderBlock block = Source(index);
                var weights = new Lazy<QuantizedWeight[]>(() => Weights(index));
                for (int i = 0; i < linears[index].Length; i++) block.Slots[i].Exchange(Source(linears[index][i], () => weights.Value[i])).Dispose();
                return block;
            }
            finally
            {
                model.Paging = paging;
            }
        }

        List<(string Name, QuantizedWeight Weight)> Stored(int index) =>
            [.. Weights(index).Select((weight, i) => ($"{model.BlockName(index)}.{model.LinearsOf(index)[i].Name}", linears[index][i] is { } linear ? linear.Stored((UniformWeight)weight) : weight))];
    }

    private IDecoderBlock Source(int index) => Blocks?.Invoke(index) ?? model.LoadBlock(index);

    private IWeightSource Source(TunedLinear? linear, Func<QuantizedWeight> made)
    {
        if (linear is { LearnsCodes: true }) return new TunedCodes(linear, model.Device);
        QuantizedWeight weight = made();
        if (linear is not null) return new TunedWeight(linear, (UniformWeight)weight, model.Device);
        var values = new float[weight.Codes.Length];
        weight.Reconstruct(values);
        return new DenseWeight(model.Device.From(values, weight.OutFeatures, weight.InFeatures));
    }

    private void Report(int done) => Progress?.Invoke(done, model.Config.Layers + recipe.Tuning!.Steps);

    private TuningReport Train(ParameterArena arena, TuningLoss loss, CalibrationSet calibration, TuningRecipe options, CancellationToken cancellation)
    {
        int training = calibration.Windows.Length + calibration.MoreWindows.Length, heldOut = calibration.HeldOutWindows.Length;
        TuningState state = TuningState.TryRead(folder.TuningStateFile, arena) ?? Begin();
        CosineSchedule schedule = new(options.LearningRate, options.Steps), codes = new(options.CodeRate ?? 0, options.Steps);
        var order = new WindowOrder(training, options.Batch, Numerics.SeededRandom.Derive(recipe.Seed, SeedPath).NextUInt64());
        for (int step = 0; step < state.Step; step++) order.Next();
        string? warning = null;
        for (int step = state.Step; step < options.Steps; step++)
        {
            arena.ClearGradients();
            double value = loss.Gradients(order.Next(), cancellation);
            if (!double.IsFinite(value))
            {
                warning = $"tuning ended at step {step + 1} of {options.Steps}: the loss is {value}; give a smaller `tune.rate`.";
                break;
            }
            arena.AdamStep(schedule.At(step), step + 1, codes.At(step));
            Report(model.Config.Layers + step + 1);
            if ((step + 1) % Math.Max(1, options.Steps / Checks) != 0 && step + 1 != options.Steps) continue;
            double measured = Measure();
            Checked?.Invoke(step + 1, measured);
            if (measured < state.Best) arena.Keep();
            state = measured < state.Best
                ? state with { Step = step + 1, Best = measured, BestStep = step + 1 }
                : state with { Step = step + 1 };
            state.Write(folder.TuningStateFile, arena);
        }
        arena.Restore();
        if (state.BestStep == 0) warning ??= "tuning made the model no better than its blocks were: they are as the method made them; more `samples` or a smaller `tune.rate` may help.";
        return new TuningReport(
            state.Step, state.BestStep, heldOut > 0 ? "held-out calibration windows" : "training windows", state.Before, state.Best, warning);

        TuningState Begin()
        {
            double before = Measure();
            Checked?.Invoke(0, before);
            arena.Keep();
            return new TuningState(0, before, before, 0);
        }

        double Measure() => heldOut > 0 ? loss.Mean(training, heldOut, cancellation) : loss.Mean(0, Math.Min(training, MeasuredWindows), cancellation);
    }

    private ParameterArena CreateArena(out TunedLinear?[][] linears)
    {
        int layers = model.Config.Layers, parts = 0;
        long count = 0;
        for (int index = 0; index < layers; index++)
        {
            foreach (UniformWeight weight in Weights(index).OfType<UniformWeight>())
            {
                count += TunedLinear.ParameterCount(weight) + (Codes ? weight.Codes.Length : 0);
                parts += (weight.Branch is null ? 1 : 3) + (Codes ? 1 : 0);
            }
        }
        var arena = new ParameterArena(model.Device, count, parts);
        linears = new TunedLinear?[layers][];
        for (int index = 0; index < layers; index++)
            linears[index] = [.. Weights(index).Select((weight, i) => weight is UniformWeight uniform
                ? TunedLinear.Create(uniform, arena, recipe.Scheme.For($"{model.BlockName(index)}.{model.LinearsOf(index)[i].Name}").ScaleDigits)
                : null)];
        if (Codes) LearnCodes(arena, linears);
        return arena;
    }

    private bool Codes => recipe.Tuning!.CodeRate is > 0;

    // They stand behind everything else, for they learn at a rate of their own.
    private void LearnCodes(ParameterArena arena, TunedLinear?[][] linears)
    {
        arena.BeginSecond();
        for (int index = 0; index < linears.Length; index++)
        {
            QuantizedWeight[] weights = Weights(index);
            using IDecoderBlock block = Source(index);
            for (int i = 0; i < weights.Length; i++) linears[index][i]?.LearnCodes((UniformWeight)weights[i], block.Slots[i].WeightValues(), arena);
        }
    }

    // The weights of a block as the method made them, in slot order.
    private QuantizedWeight[] Weights(int index)
    {
        using SafetensorsFile file = SafetensorsFile.Open(folder.BlockFile(index));
        return [.. model.LinearsOf(index).Select(linear => store.ReadOne(file, model.BlockName(index), linear.Name))];
    }
}
