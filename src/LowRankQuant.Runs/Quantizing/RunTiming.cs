using System.Diagnostics;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Tuning;
using LowRankQuant.Runs.Measuring;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Quantizing;

/// <summary>
/// How long every stage of a run will take, from one block, one window and one pass through the head. Calibration text is read as the run will read it;
/// text that the model has to write itself (<c>self</c>), the sample texts of the report and the choice among grids within a budget are not estimated.
/// </summary>
/// <param name="job">The run.</param>
/// <param name="block">Times of its first block.</param>
/// <param name="reading">Seconds that reading the calibration text took; null where it was not read.</param>
internal sealed class RunTiming(QuantizeJob job, BlockTiming block, double? reading)
{
    // Logits of more rows need much memory and say nothing new.
    private const int HeadRows = 64;

    // A token of text has about so many bytes.
    private const int BytesPerToken = 4;

    // A pass with gradients: forward, and two products for every one of it.
    private const int GradientPass = 3;

    private readonly CausalModel _model = job.Model;

    /// <summary>Estimates the stages, in the order of the run.</summary>
    public IReadOnlyList<TimedStage> Estimate()
    {
        Recipe recipe = job.Recipe;
        int layers = _model.Config.Layers;
        var stages = new List<TimedStage>();
        if (reading is { } seconds) stages.Add(new TimedStage(RunStage.Calibration, seconds));
        if (recipe.Method.PlansModel)
        {
            int windows = ModelPlanContext.WindowsOf(recipe.Method.PlanTokens, recipe.SequenceLength, recipe.Samples);
            double passes = windows * ((layers * (1 + GradientPass) * block.Window) + (GradientPass * Head(recipe.SequenceLength)));
            stages.Add(new TimedStage(RunStage.Sensitivity, passes + (2 * layers * block.Loading)));
            if (recipe.Method.Budget is not null) stages.Add(new TimedStage(RunStage.Budget, layers * ((recipe.Samples * block.Window) + block.Loading)));
        }
        stages.Add(new TimedStage(RunStage.Blocks, layers * block.Seconds));
        if (recipe.Tuning is { } tuning) stages.Add(new TimedStage(RunStage.Tuning, Tuning(recipe, tuning, layers)));
        stages.Add(new TimedStage(RunStage.Writing, layers * block.Storing));
        (int count, int length) = EvaluationWindows();
        if (count == 0) return stages;
        // The original's states are kept; beside them a comparison takes the model's own, and both heads.
        double heads = count * Head(length), once = count * ((layers * Forward(length)) + Head(length)), loading = layers * block.Loading;
        stages.Add(new TimedStage(RunStage.Original, once + loading));
        // Where the result will be the baseline it is only looked whether it is.
        double baseline = RoundedResult.MayEqual(recipe) ? loading : once + heads;
        if (!RunMeasurement.IsBaseline(recipe)) stages.Add(new TimedStage(RunStage.Baseline, baseline + loading + (layers * block.Rounding)));
        stages.Add(new TimedStage(RunStage.Result, once + heads + loading));
        if (job.Depth is { } depth)
        {
            int[] windows = [.. Enumerable.Repeat(length, count)];
            int swapped = Math.Min(count, depth.SwapWindows ?? SwapCost.Affordable(_model, windows, (long)count * length, DepthOptions.UsualSwapWindows));
            if (swapped > 0) stages.Add(new TimedStage(RunStage.Modules, SwapCost.Ratio(_model, swapped, count) * 2 * once));
            stages.Add(new TimedStage(RunStage.Floor, once + heads + loading));
        }
        return stages;
    }

    private static double Time<T>(Func<T> work)
    {
        long start = Stopwatch.GetTimestamp();
        work();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private (int Count, int Length) EvaluationWindows()
    {
        if (job.EvaluationText is not { } file) return (job.Calibration?.HeldOut ?? 0, job.Recipe.SequenceLength);
        int length = job.EvaluationContext ?? Math.Min(TextWindowOptions.UsualContext, _model.Config.MaxPositions);
        long all = Math.Max(1, FileLength.Of(file) / BytesPerToken / length);
        return ((int)Math.Min(all, job.EvaluationWindows ?? int.MaxValue), length);
    }

    // A step takes its windows forward, forward again and back, and the head forward twice and back; checks only forward. Blocks are loaded and unpacked
    // for every pass.
    private double Tuning(Recipe recipe, TuningRecipe tuning, int layers)
    {
        double head = Head(recipe.SequenceLength), through = layers * Forward(recipe.SequenceLength), loading = 2 * layers * block.Loading;
        int measured = recipe.HeldOut > 0 ? recipe.HeldOut : Math.Min(recipe.Samples, ModelTuner.MeasuredWindows), checks = Math.Min(ModelTuner.Checks, tuning.Steps) + 1;
        double step = (tuning.Batch * (((1 + GradientPass) * through) + (GradientPass * head))) + (2 * loading);
        double check = (measured * (through + (2 * head))) + ((measured + tuning.Batch - 1) / tuning.Batch * loading);
        return ((tuning.Samples + recipe.HeldOut) * through) + (tuning.Steps * step) + (checks * check);
    }

    private double Forward(int length)
    {
        using IDecoderBlock first = _model.LoadBlock(0);
        using ActivationStream stream = ActivationStream.Embed(_model, [new int[length]], new StreamOptions(new MemoryBudget(long.MaxValue), Path.GetTempPath()));
        using Tensor input = _model.Device.Empty(length, _model.Config.HiddenSize);
        Once();
        return Time(Once);

        Variable Once()
        {
            using var tape = new Tape(_model.Device, recording: false);
            return stream.Forward(first, tape, [0], input);
        }
    }

    private double Head(int length)
    {
        using OutputHead head = _model.LoadHead();
        using Tensor input = _model.Device.Zeros(HeadRows, _model.Config.HiddenSize);
        Once();
        return (double)length / HeadRows * Time(Once);

        Variable Once()
        {
            using var tape = new Tape(_model.Device, recording: false);
            return head.Logits(tape, new Variable(input));
        }
    }
}
