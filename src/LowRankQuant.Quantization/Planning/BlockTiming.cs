using System.Diagnostics;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Rtn;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Planning;

/// <summary>
/// How long a block takes, part by part, from the first one timed with random text: the method once with little work and once with a little more, so that
/// what it costs at all and what every step or window adds are known apart.
/// </summary>
/// <param name="Loading">Reading the block, seconds as all the others.</param>
/// <param name="Streams">Calibration windows through the block before and after, and the losses of the reports.</param>
/// <param name="Rounding">Rounding to nearest, which every report compares with.</param>
/// <param name="Method">The method.</param>
/// <param name="Storing">Packing and writing the block file.</param>
/// <param name="Window">One window through the block, without gradients.</param>
public sealed record BlockTiming(double Loading, double Streams, double Rounding, double Method, double Storing, double Window)
{
    // Windows that are measured before and after a block; see BlockPipeline.
    private const int MeasuredWindows = 16;

    /// <summary>All of a block.</summary>
    public double Seconds => Loading + Streams + Rounding + Method + Storing;

    /// <summary>Times the first block of a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="recipe">What will be done.</param>
    /// <param name="statisticsBytes">What statistics of experts may take together.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static BlockTiming Measure(CausalModel model, Recipe recipe, long statisticsBytes, CancellationToken cancellation)
    {
        MethodSettings method = recipe.Method;
        using IDisposable precision = model.Device.With(recipe.Precision);
        (double loading, IDecoderBlock block) = Time(() => model.LoadBlock(0));
        using IDecoderBlock loaded = block;
        (double rounding, QuantizedBlock rounded) = Time(() => new RoundToNearest().Quantize(Context(model, block, recipe, null, statisticsBytes, cancellation)));
        double storing = StoreSeconds(block, recipe, rounded);
        if (!method.Create().NeedsCalibration) return new BlockTiming(loading, 0, 0, rounding, storing, 0);
        double window = Forward(recipe.Batch) / recipe.Batch;
        double streams = window * ((2.0 * (recipe.Samples + recipe.HeldOut)) + Math.Min(MeasuredWindows, recipe.Samples) + recipe.HeldOut);
        return new BlockTiming(loading, streams, rounding, method.TimedParts.Sum(Part), storing, window);

        double Part(TimedPart part)
        {
            if (part.WarmUp) Run(part, part.Few);
            double few = Run(part, part.Few), more = Run(part, part.More), each = Math.Max(0, more - few) / (part.More - part.Few);
            return (few * part.Times) + (each * Math.Max(0, part.Amount(recipe.Samples, recipe.HeldOut) - part.Few)) + (window * part.Passes(recipe.Samples, recipe.HeldOut));
        }

        double Run(TimedPart part, int amount)
        {
            int windows = part.Windows(amount);
            Recipe small = recipe with { Method = part.Probe(amount), Samples = windows, HeldOut = 0 };
            using Text text = Text.Random(model, small, windows, block);
            return Time(() => small.Method.Create().Quantize(Context(model, block, small, text.Streams, statisticsBytes, cancellation))).Seconds;
        }

        double Forward(int batch)
        {
            using Text text = Text.Random(model, recipe, batch, block);
            using Tensor input = model.Device.Empty(batch * recipe.SequenceLength, model.Config.HiddenSize);
            int[] windows = [.. Enumerable.Range(0, batch)];
            Once();
            return Time(Once).Seconds;

            Variable Once()
            {
                using var tape = new Tape(model.Device, recording: false);
                return text.Streams.QuantizedInput.Forward(block, tape, windows, input);
            }
        }
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

    private static BlockContext Context(
        CausalModel model, IDecoderBlock block, Recipe recipe, BlockStreams? streams, long statisticsBytes, CancellationToken cancellation) => new()
        {
            StatisticsBytes = statisticsBytes,
            Block = block,
            Device = model.Device,
            Scheme = recipe.Scheme,
            Streams = streams,
            Seed = recipe.Seed,
            Cancellation = cancellation,
        };

    /// <summary>Activations of random token ids.</summary>
    private sealed class Text : IDisposable
    {
        private readonly ActivationStream _input;
        private readonly ActivationStream _target;

        private Text(ActivationStream input, ActivationStream target, int windows)
        {
            _input = input;
            _target = target;
            Streams = new BlockStreams(input, target, windows) { FullPrecisionInput = input };
        }

        public BlockStreams Streams { get; }

        public static Text Random(CausalModel model, Recipe recipe, int windows, IDecoderBlock block)
        {
            SeededRandom random = SeededRandom.Derive(recipe.Seed);
            int[][] ids = [.. Enumerable.Range(0, windows).Select(_ =>
                Enumerable.Range(0, recipe.SequenceLength).Select(_ => random.NextInt32(model.Config.VocabularySize)).ToArray())];
            ActivationStream input = ActivationStream.Embed(model, ids, new StreamOptions(new MemoryBudget(long.MaxValue), Path.GetTempPath()));
            ActivationStream target = input.Fork();
            target.Advance(block, null, CancellationToken.None);
            return new Text(input, target, windows);
        }

        public void Dispose()
        {
            _target.Dispose();
            _input.Dispose();
        }
    }
}
