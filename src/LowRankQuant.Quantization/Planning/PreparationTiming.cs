using System.Diagnostics;
using LowRankQuant.Models;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>
/// How long a block takes before its method sees it: transforms, their searches, ranges of static steps, and the errors that reports tell. It is prepared for few windows and for
/// a few more, since all of it but those errors passes all windows, as often as rules of ranges and searches need.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="recipe">What is done.</param>
/// <param name="loading">Seconds that the block takes to load, which are none of these.</param>
internal sealed class PreparationTiming(CausalModel model, Recipe recipe, double loading)
{
    private const int Few = 1, More = 4;
    private readonly PreparedModel _prepared = new(model, recipe, null);

    /// <summary>Whether there is anything to be done.</summary>
    public bool IsNothing => _prepared.IsPlain;

    /// <summary>Number of the block that is timed: the first in which anything is quantized.</summary>
    public static int FirstBlock(CausalModel model) => Enumerable.Range(0, model.Config.Layers).First(block => model.LinearsOf(block).Count > 0);

    /// <summary>The block that is timed, prepared with few windows.</summary>
    /// <param name="cancellation">Asks to stop.</param>
    public PreparedBlock Block(CancellationToken cancellation)
    {
        using TimedText? text = Text(Few);
        return Prepare(text, Few, cancellation);
    }

    /// <summary>Seconds of preparing it in a run.</summary>
    /// <param name="cancellation">Asks to stop.</param>
    public double Measure(CancellationToken cancellation)
    {
        if (IsNothing) return 0;
        // The first time compiles code, which is much beside little work.
        Once(Few);
        double few = ShortestTime.Of(() => Once(Few));
        if (!recipe.LooksAtText) return few;
        double each = Math.Max(0, ShortestTime.Of(() => Once(More)) - few) / (More - Few);
        return few + (each * (recipe.Samples - Few)) + Errors(cancellation);

        double Once(int windows)
        {
            using TimedText? text = Text(windows);
            long start = Stopwatch.GetTimestamp();
            using PreparedBlock block = Prepare(text, windows, cancellation);
            return Math.Max(0, Stopwatch.GetElapsedTime(start).TotalSeconds - loading);
        }
    }

    // Of all inputs, over some windows; again where steps per token are for those with large errors.
    private double Errors(CancellationToken cancellation)
    {
        if (recipe.Activations is not { } activations) return 0;
        int windows = Math.Min(recipe.Samples, QuantizerFitting.ErrorWindows), times = !activations.Grid.IsDynamic && activations.PerToken.Any(QuantizerFitting.IsAuto) ? 2 : 1;
        using TimedText text = TimedText.InFront(model, recipe, 1);
        using PreparedBlock block = Prepare(text, 1, cancellation);
        QuantizerFitting fitting = _prepared.Fitting(block.Block);
        fitting.Errors(block.Quantizers!, text.Input, 1, cancellation);
        long start = Stopwatch.GetTimestamp();
        fitting.Errors(block.Quantizers!, text.Input, 1, cancellation);
        return Stopwatch.GetElapsedTime(start).TotalSeconds * windows * times;
    }

    private TimedText? Text(int windows) => recipe.LooksAtText ? TimedText.InFront(model, recipe, windows) : null;

    private PreparedBlock Prepare(TimedText? text, int windows, CancellationToken cancellation) =>
        _prepared.Prepare(FirstBlock(model), text?.Input, text is null ? 0 : windows, cancellation, measured: false);
}
