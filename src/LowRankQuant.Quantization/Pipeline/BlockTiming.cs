using System.Diagnostics;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// How long a run will take, from the first block timed with random text: the method once with little work and once with a little more, so that what it
/// costs at all and what every step or window adds are known apart. Reading text and measuring the result are not in it.
/// </summary>
/// <param name="BlockSeconds">One block.</param>
/// <param name="TotalSeconds">All blocks.</param>
public sealed record BlockTiming(double BlockSeconds, double TotalSeconds)
{
    private const int FewSteps = 1;
    private const int MoreSteps = 4;

    // Windows that are measured before and after a block, and checks of the best iterate; see BlockPipeline and TrainingSession.
    private const int MeasuredWindows = 16;
    private const int Checks = 5;

    /// <summary>Times the first block of a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="recipe">What will be done.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static BlockTiming Measure(CausalModel model, Recipe recipe, CancellationToken cancellation)
    {
        CorrectionRecipe? correction = recipe.Correction;
        bool trains = recipe.Method != QuantizationMethod.Rtn && correction is null;
        using DecoderBlock block = model.LoadBlock(0);
        double seconds;
        if (!BlockMethods.Create(recipe).NeedsCalibration)
        {
            seconds = Time(() => BlockMethods.Create(recipe).Quantize(Context(model, block, recipe, null, cancellation)));
        }
        else
        {
            // A residual that LRQ learns is fitted first and trained then; beside LRQ by itself the product of the branches is little.
            seconds = (correction is null ? 0 : FitSeconds(correction)) + (trains || correction?.Residual == ResidualRounding.Lrq ? TrainSeconds() : 0);
        }
        return new BlockTiming(seconds, seconds * model.Config.Layers);

        double TrainSeconds()
        {
            double few = Trained(FewSteps), more = Trained(MoreSteps), step = Math.Max(0, more - few) / (MoreSteps - FewSteps);
            double window = Window(recipe.Batch) / recipe.Batch;
            double streams = (2.0 * (recipe.Samples + recipe.HeldOut)) + Math.Min(MeasuredWindows, recipe.Samples) + (recipe.HeldOut * (1 + (recipe.KeepBest ? Checks : 1)));
            return few + (step * Math.Max(0, recipe.Iterations - FewSteps)) + (window * streams);
        }

        double FitSeconds(CorrectionRecipe fitted)
        {
            double few = Fitted(fitted, 1), more = Fitted(fitted, 3), window = Math.Max(0, more - few) / 2;
            // Statistics are taken once, and a layer is solved once for every damping that is tried.
            int solutions = fitted.ChooseDamping ? BlockMethods.DampingsTried : 1;
            return (few * solutions) + (window * (recipe.Samples - 1)) + (2 * Window(1) * (recipe.Samples + recipe.HeldOut));
        }

        // At a rate of almost nothing the loss cannot rise, and no training starts again.
        double Trained(int steps) => Run(recipe with
        {
            Method = trains ? recipe.Method : QuantizationMethod.Lrq,
            Correction = null,
            Iterations = steps,
            Samples = recipe.Batch,
            HeldOut = 0,
            KeepBest = false,
            LearningRate = 1e-12,
        }, recipe.Batch);

        double Fitted(CorrectionRecipe fitted, int windows) => Run(
            recipe with { Samples = windows, HeldOut = 0, Correction = fitted with { ChooseDamping = false, Residual = ResidualRounding.Fitted, TrainBranch = false } }, windows);

        double Run(Recipe small, int windows)
        {
            using Text text = Text.Random(model, small, windows, block);
            return Time(() => BlockMethods.Create(small).Quantize(Context(model, block, small, text.Streams, cancellation)));
        }

        double Window(int batch)
        {
            using Tensor input = model.Device.Zeros(batch * recipe.SequenceLength, model.Config.HiddenSize);
            return Time(() =>
            {
                using var tape = new Tape(model.Device, recording: false);
                block.Forward(tape, new Variable(input), new SequenceShape(batch, recipe.SequenceLength));
            });
        }
    }

    private static double Time(Action work)
    {
        long start = Stopwatch.GetTimestamp();
        work();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static BlockContext Context(CausalModel model, DecoderBlock block, Recipe recipe, BlockStreams? streams, CancellationToken cancellation) => new()
    {
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
        private readonly ActivationStore _input;
        private readonly ActivationStore _target;

        private Text(ActivationStore input, ActivationStore target, int windows)
        {
            _input = input;
            _target = target;
            Streams = new BlockStreams(input, target, windows) { FullPrecisionInput = input };
        }

        public BlockStreams Streams { get; }

        public static Text Random(CausalModel model, Recipe recipe, int windows, DecoderBlock block)
        {
            int length = recipe.SequenceLength, hidden = model.Config.HiddenSize;
            var budget = new MemoryBudget(long.MaxValue);
            ActivationStore input = new(windows, length, hidden, budget, Path.GetTempPath()), target = new(windows, length, hidden, budget, Path.GetTempPath());
            var random = new SeededRandom(recipe.Seed);
            using Tensor embedding = model.LoadEmbedding(), rows = model.Device.Empty(length, hidden);
            for (int window = 0; window < windows; window++)
            {
                int[] ids = [.. Enumerable.Range(0, length).Select(_ => random.NextInt32(model.Config.VocabularySize))];
                model.Embed(embedding, ids, rows);
                input.Write(window, rows);
                using var tape = new Tape(model.Device, recording: false);
                target.Write(window, block.Forward(tape, new Variable(rows), new SequenceShape(1, length)).Value);
            }
            return new Text(input, target, windows);
        }

        public void Dispose()
        {
            _input.Dispose();
            _target.Dispose();
        }
    }
}
