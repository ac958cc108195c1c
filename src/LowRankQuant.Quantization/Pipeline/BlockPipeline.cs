using System.Globalization;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Quantization.Vocabulary;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// Quantizes a model block after block, one block in memory at a time. Two streams of activations are carried along: the full-precision one, which
/// block by block becomes the target, and the quantized one, which sees every earlier block with its weights as stored. A finished block is on disk
/// before the method works on the next; it is written while that one is read and the windows pass through it. A run that starts again replays the streams through the finished blocks and goes on with the same bytes.
/// </summary>
public sealed class BlockPipeline(CausalModel model, Recipe recipe, RunFolder folder, IBlockStore store)
{
    /// <summary>Windows of a before-and-after figure; more would only cost time.</summary>
    internal const int MeasuredWindows = 16;

    private readonly PreparedModel _prepared = new(model, recipe, folder);

    /// <summary>Told about every step of training; null for nobody.</summary>
    public IProgress<BlockProgress>? StepProgress { get; init; }

    /// <summary>Told about every finished block, those of an earlier session included; null for nobody.</summary>
    public IProgress<BlockReport>? BlockProgress { get; init; }

    /// <summary>Widths and ranks of all layers; null where the recipe plans none.</summary>
    public ModelPlan? Plan { get; init; }

    /// <summary>Quantizes embedding and head; null where both stay floats.</summary>
    public VocabularyQuantizer? Vocabulary { get; init; }

    /// <summary>Bytes that statistics of experts may take together; never changes a result.</summary>
    public long StatisticsBytes { get; init; } = ExpertPool.MostBytes;

    /// <summary>Clock for durations.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Runs the recipe's methods over all blocks that are not finished yet.</summary>
    /// <param name="calibration">Token ids, or null when the method needs none.</param>
    /// <param name="activationBudget">Memory for activations; what does not fit goes to the run folder.</param>
    /// <param name="cancellation">Asks to stop; finished blocks stay.</param>
    /// <param name="blocks">Stop after so many blocks; null for all.</param>
    /// <returns>One report per block.</returns>
    public IReadOnlyList<BlockReport> Run(
        CalibrationSet? calibration, MemoryBudget activationBudget, CancellationToken cancellation, int? blocks = null)
    {
        int count = Math.Min(blocks ?? model.Config.Layers, model.Config.Layers);
        using IDisposable precision = model.Device.With(recipe.Precision);
        var reports = new List<BlockReport>(count);
        Vocabulary?.QuantizeEmbedding();
        // Nothing is written of some blocks alone, and the head is behind them all.
        bool headIsPending = blocks is null && Vocabulary is { HeadIsPending: true };
        using ActivationStreams? streams = Streams(calibration, activationBudget);
        using var writing = new BlockWriting(folder, BlockProgress);
        for (int index = 0; index < count; index++)
        {
            cancellation.ThrowIfCancellationRequested();
            bool finished = folder.HasBlock(index);
            if (finished && (streams is null || (LastFinished(count) == count - 1 && !headIsPending)))
            {
                reports.Add(folder.ReadReport(index));
                BlockProgress?.Report(reports[^1]);
            }
            else if (finished)
            {
                reports.Add(Replay(index, streams!, cancellation));
                BlockProgress?.Report(reports[^1]);
            }
            else
            {
                reports.Add(Quantize(index, streams, writing, cancellation));
            }
            model.Trim();
        }
        writing.Finish();
        if (blocks is null) Vocabulary?.QuantizeHead(streams?.Streams, cancellation);
        return reports;
    }

    /// <summary>
    /// Whether the last pass that ranges need takes the full-precision stream along. Ranges see windows one by one, and products of few rows come out otherwise together with
    /// more: only what passes one by one anyway can be seen on its way.
    /// </summary>
    internal static bool SharesLastPass(Recipe recipe) => recipe is { FindsRanges: true, Batch: 1 };

    private ActivationStreams? Streams(CalibrationSet? calibration, MemoryBudget budget)
    {
        if (!recipe.LooksAtText) return null;
        using InputEmbedding original = _prepared.LoadEmbedding();
        using InputEmbedding? embedding = Vocabulary?.LoadEmbedding();
        return ActivationStreams.Create(
            model, calibration ?? throw new ArgumentNullException(nameof(calibration)), budget, folder.Work, recipe, recipe.Methods.Any(method => method.Create().NeedsFullPrecisionInput), original, embedding);
    }

    // With every block and the head finished there is nothing to replay the streams for.
    private int LastFinished(int count)
    {
        int last = -1;
        while (last + 1 < count && folder.HasBlock(last + 1)) last++;
        return last;
    }

    private BlockReport Replay(int index, ActivationStreams streams, CancellationToken cancellation)
    {
        BlockReport report = folder.ReadReport(index);
        using PreparedBlock prepared = _prepared.Reload(index);
        IDecoderBlock block = prepared.Block;
        IReadOnlyList<QuantizedWeight> stored = Stored(block);
        streams.AdvanceFullPrecision(block, cancellation);
        using (prepared.Quantizers?.Use())
        using (SlotSwap.Dequantized(block, stored, model.Device)) streams.AdvanceQuantized(block, cancellation);
        return report;
    }

    private IReadOnlyList<QuantizedWeight> Stored(IDecoderBlock block)
    {
        string file = folder.BlockFile(block.Index);
        try
        {
            return store.Read(file, block);
        }
        catch (CheckpointFormatException failure)
        {
            throw new InvalidDataException($"{failure.Message.TrimEnd('.')}; delete {file} to compute the block again.", failure);
        }
    }

    private BlockReport Quantize(int index, ActivationStreams? streams, BlockWriting writing, CancellationToken cancellation)
    {
        long start = Time.GetTimestamp();
        Func<long?> peak = ProcessMemory.BeginSection();
        Scheme scheme = recipe.SchemeOf(index);
        long[][]? experts = null;
        using PreparedBlock prepared = _prepared.Prepare(
            index, streams?.Streams.Target, streams?.TrainingWindows ?? 0, cancellation, lastPass: streams is not null && SharesLastPass(recipe) ? Advance : null, masks: streams?.Streams.Masks);
        IDecoderBlock block = prepared.Block;
        model.ReadAhead(index + 1);
        double? before = null, heldOutBefore = null, after = null, heldOut = null;
        IBlockMethod method = recipe.MethodOf(index).Create();
        Action? trim = model.Paging == WeightPaging.None ? null : model.Trim;
        if (streams is not null)
        {
            if (experts is null) Pass(block);
            using SlotSwap rounded = SlotSwap.RoundedToNearest(block, scheme, model.Device);
            using IDisposable? used = prepared.Quantizers?.Use();
            before = streams.Loss(block, 0, Math.Min(MeasuredWindows, streams.TrainingWindows), cancellation);
            if (streams.HeldOutWindows > 0) heldOutBefore = streams.Loss(block, streams.TrainingWindows, streams.HeldOutWindows, cancellation);
        }
        trim?.Invoke();
        writing.Finish();
        // Where all linears of a block stay in their own type there is nothing to do.
        QuantizedBlock result = block.Slots.Count == 0 ? new QuantizedBlock([]) : method.Quantize(new BlockContext
        {
            Block = block,
            Device = model.Device,
            Scheme = scheme,
            Streams = streams?.Streams,
            Plan = Plan,
            Quantizers = prepared.Quantizers,
            StatisticsBytes = StatisticsBytes,
            Trim = trim,
            Seed = recipe.SeedOf(index),
            Progress = StepProgress,
            Cancellation = cancellation,
        });
        streams?.DropInputs();
        if (streams is not null)
        {
            using SlotSwap stored = SlotSwap.Dequantized(block, result.Weights, model.Device);
            using IDisposable? used = prepared.Quantizers?.Use();
            (after, heldOut) = streams.AdvanceQuantized(block, cancellation, MeasuredWindows);
        }
        var report = new BlockReport(block.Index, before, after, heldOut, heldOutBefore, Time.GetElapsedTime(start).TotalSeconds)
        {
            PeakMemoryBytes = peak(),
            KeptIteration = result.KeptIteration,
            ExpertTokens = experts ?? [],
            Warnings = result.Warnings,
            Layers = result.Layers,
            Activations = prepared.Quantizers?.Reports ?? [],
            Transforms = [.. prepared.Transforms.Zip(recipe.TransformsOf(index)).Select(pair => Describe(pair.Second, pair.First))],
        };
        var named = new List<(string Name, QuantizedWeight Weight)>();
        for (int i = 0; i < result.Weights.Count; i++) named.Add(($"{block.Name}.{block.Slots[i].Name}", result.Weights[i]));
        _prepared.Keep(prepared);
        writing.Begin(store.Tensors(named), report);
        return report;

        void Pass(IDecoderBlock passed)
        {
            if (!ActivationStreams.Records(recipe, method, passed))
            {
                Advance(passed, null);
                return;
            }
            streams.RecordFullPrecision(passed, cancellation);
            experts = [];
        }

        void Advance(IDecoderBlock passed, Action<int, Tensor>? see)
        {
            foreach (RouterChoice router in passed.Routers) router.Reset();
            streams.AdvanceFullPrecision(passed, cancellation, see);
            experts = [.. passed.Routers.Select(router => (long[])router.Tokens.Clone())];
        }
    }

    private static string Describe(TransformSettings transform, BlockTransformResult result)
    {
        string search = result.Search is { } found ? string.Create(CultureInfo.InvariantCulture, $", {found.Value} chosen") : "";
        string refused = result.Refused.Count == 0 ? "" : $"; not {string.Join(", ", result.Refused.Select(other => $"{other.Name} ({other.Reason})"))}";
        return $"{transform.Name}: {string.Join(", ", result.Sites.Select(site => site.Chosen is null ? site.Source : $"{site.Source} ({site.Chosen})"))}{search}{refused}";
    }
}
