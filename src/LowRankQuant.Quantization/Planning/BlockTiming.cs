using System.Diagnostics;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Rtn;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Planning;

/// <summary>
/// How long a block takes, part by part, from the first one that is quantized timed with random text: the method once with little work and once with a little more, so that
/// what it costs at all and what every step or window adds are known apart. Where blocks have methods of their own, it is the mean block.
/// </summary>
/// <param name="Loading">Reading the block, seconds as all the others.</param>
/// <param name="Preparing">Transforms, ranges of static steps, and errors of quantized inputs.</param>
/// <param name="Streams">Calibration windows through the block before and after, and the losses of the reports, rounding to nearest for the first of them included.</param>
/// <param name="Rounding">Rounding to nearest alone.</param>
/// <param name="Method">The method.</param>
/// <param name="Storing">Packing and writing the block file.</param>
/// <param name="Window">One window through the block in full precision, without gradients.</param>
public sealed record BlockTiming(double Loading, double Preparing, double Streams, double Rounding, double Method, double Storing, double Window)
{
    /// <summary>All of a block.</summary>
    public double Seconds => Loading + Preparing + Streams + Method + Storing;

    /// <summary>What comes on top at most, where every training of the block starts again as often as it may; most never do.</summary>
    public double Restarts { get; init; }

    /// <summary>Times the first block of a model in which anything is quantized.</summary>
    /// <param name="model">The model.</param>
    /// <param name="recipe">What will be done.</param>
    /// <param name="statisticsBytes">What statistics of experts may take together.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static BlockTiming Measure(CausalModel model, Recipe recipe, long statisticsBytes, CancellationToken cancellation)
    {
        using IDisposable precision = model.Device.With(recipe.Precision);
        model.Selection = recipe.Selection;
        double loading = Time(() =>
        {
            using IDecoderBlock block = model.LoadBlock(PreparationTiming.FirstBlock(model));
            return block.Index;
        }).Seconds;
        var preparation = new PreparationTiming(model, recipe, loading);
        double preparing = preparation.Measure(cancellation);
        using PreparedBlock prepared = preparation.Block(cancellation);
        IDecoderBlock whole = prepared.Block;
        (double rounding, QuantizedBlock rounded) = Time(() => new RoundToNearest().Quantize(Context(recipe, null)));
        double storing = StoreSeconds(whole, recipe, rounded);
        double window = 0, quantizedWindow = 0, streams = 0;
        if (recipe.LooksAtText)
        {
            window = Forward(recipe.Batch) / recipe.Batch;
            using (prepared.Quantizers?.Use()) quantizedWindow = prepared.Quantizers is null ? window : Forward(recipe.Batch) / recipe.Batch;
            int all = recipe.Samples + recipe.HeldOut, measured = Math.Min(BlockPipeline.MeasuredWindows, recipe.Samples) + recipe.HeldOut;
            streams = rounding + (window * (BlockPipeline.SharesLastPass(recipe) ? recipe.HeldOut : all)) + (quantizedWindow * (all + measured));
        }
        int own = recipe.Blocks.Sum(blocks => blocks.Blocks.Count), layers = model.Config.Layers;
        (double method, double restarts) = Of(recipe.Method, layers - own);
        foreach (BlockRecipe blocks in recipe.Blocks)
        {
            (double seconds, double more) = Of(blocks.Method, blocks.Blocks.Count);
            (method, restarts) = (method + seconds, restarts + more);
        }
        return new BlockTiming(loading, preparing, streams, rounding, method / layers, storing, window) { Restarts = restarts / layers };

        (double Seconds, double Restarts) Of(MethodSettings method, int blocks)
        {
            (double seconds, double more) = MethodSeconds(method);
            return (blocks * seconds, blocks * more);
        }

        (double Seconds, double Restarts) MethodSeconds(MethodSettings method)
        {
            if (method.RoundsToNearest) return (rounding, 0);
            Recipe alone = recipe with { Method = method, Blocks = [] };
            // A method that looks at text says what is to be timed of it; one that does not costs the same in every run.
            if (!method.Create().NeedsCalibration) return (Time(() => method.Create().Quantize(Context(alone, null))).Seconds, 0);
            (double Seconds, double Restarts)[] parts = [.. method.TimedParts.Select(part => PartSeconds(alone, part))];
            return (parts.Sum(part => part.Seconds), parts.Sum(part => part.Restarts));
        }

        (double Seconds, double Restarts) PartSeconds(Recipe alone, TimedPart part)
        {
            double passing = alone.Method.Training is { Inside: true } ? quantizedWindow : window;
            if (part.WarmUp) Run(alone, part, part.Few);
            double few = Run(alone, part, part.Few), each = part.More == part.Few ? 0 : Math.Max(0, Run(alone, part, part.More) - few) / (part.More - part.Few);
            double amount = part.Amount(recipe.Samples, recipe.HeldOut), seconds = (few * part.Times) + (each * Math.Max(0, amount - part.Few)) + (passing * part.Passes(recipe.Samples, recipe.HeldOut));
            return (seconds, part.Restarts * ((each * amount) + (passing * part.RestartPasses(recipe.Samples, recipe.HeldOut))));
        }

        double Run(Recipe alone, TimedPart part, int amount)
        {
            int windows = part.Windows(amount);
            Recipe small = alone with { Method = part.Probe(amount), Samples = windows, HeldOut = 0 };
            using TimedText text = TimedText.Around(model, small, windows, whole);
            return ShortestTime.Of(() => Time(() => small.Method.Create().Quantize(Context(small, text.Streams))).Seconds);
        }

        double Forward(int batch)
        {
            using TimedText text = TimedText.InFront(model, recipe, batch);
            using Tensor input = model.Device.Empty(batch * recipe.SequenceLength, model.Config.HiddenSize);
            int[] windows = [.. Enumerable.Range(0, batch)];
            Once();
            return ShortestTime.Of(() => Time(Once).Seconds);

            Variable Once()
            {
                using var tape = new Tape(model.Device, recording: false);
                return text.Input.Forward(whole, tape, windows, input);
            }
        }

        BlockContext Context(Recipe done, BlockStreams? seen) => new()
        {
            StatisticsBytes = statisticsBytes,
            Block = whole,
            Device = model.Device,
            Scheme = done.Scheme,
            Streams = seen,
            Quantizers = prepared.Quantizers,
            Seed = done.Seed,
            Cancellation = cancellation,
        };
    }

    private static (double Seconds, T Result) Time<T>(Func<T> work)
    {
        long start = Stopwatch.GetTimestamp();
        T result = work();
        return (Stopwatch.GetElapsedTime(start).TotalSeconds, result);
    }

    // The file of a block without its branches, which are small beside the codes.
    private static double StoreSeconds(IDecoderBlock block, Recipe recipe, QuantizedBlock rounded)
    {
        string file = Path.Combine(Path.GetTempPath(), $"lrq-plan-{Guid.NewGuid():N}.safetensors");
        try
        {
            return Time(() =>
            {
                (string, QuantizedWeight)[] weights = [.. rounded.Weights.Select((weight, i) => ($"{block.Name}.{block.Slots[i].Name}", weight))];
                SafetensorsWriter.Write(file, PendingTensor.ReferenceOrder(new CompressedBlockStore(recipe.Scheme).Tensors(weights)));
                return weights.Length;
            }).Seconds;
        }
        finally
        {
            File.Delete(file);
        }
    }
}
