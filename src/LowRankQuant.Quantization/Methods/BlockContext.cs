using LowRankQuant.Formats.Engines;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods;

/// <summary>What a method gets to quantize one block.</summary>
public sealed class BlockContext
{
    /// <summary>What statistics of experts take together where nobody says.</summary>
    public const long MostStatisticsBytes = 1L << 30;

    private readonly Dictionary<string, float> _largest = new(StringComparer.Ordinal);

    /// <summary>The block in full precision.</summary>
    public required IDecoderBlock Block { get; init; }

    /// <summary>Where it computes.</summary>
    public required Device Device { get; init; }

    /// <summary>How weights are to be quantized.</summary>
    public required Scheme Scheme { get; init; }

    /// <summary>How the weight of a slot is to be quantized.</summary>
    public Scheme SchemeOf(LinearSlot slot)
    {
        Scheme scheme = Scheme.For($"{Block.Name}.{slot.Name}");
        return scheme.Grid is FloatGrid { Scaling: FloatScaling.Float8 } grid ? scheme with { FusedLargest = LargestOf(slot, grid) } : scheme;
    }

    /// <summary>Bytes that statistics of experts may take together; never changes a result.</summary>
    public long StatisticsBytes { get; init; } = MostStatisticsBytes;

    /// <summary>Gives memory of what is gone back to the system, between large parts of the work; null where memory is not that short.</summary>
    public Action? Trim { get; init; }

    /// <summary>Inputs and targets, or null when the method needs no calibration.</summary>
    public BlockStreams? Streams { get; init; }

    /// <summary>Quantizers of activations, keys and values, not installed; null where all are floats.</summary>
    public BlockQuantizers? Quantizers { get; init; }

    /// <summary>Widths and ranks planned for the whole model; null where the recipe asks for none.</summary>
    public ModelPlan? Plan { get; init; }

    /// <summary>The run's seed; a method derives its generators from it and from the block's index.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Told about steps; null for nobody.</summary>
    public IProgress<BlockProgress>? Progress { get; init; }

    /// <summary>Asks to stop.</summary>
    public CancellationToken Cancellation { get; init; }

    // Engines run some linears as one matrix, which has one scale.
    private float LargestOf(LinearSlot slot, FloatGrid grid)
    {
        IReadOnlyList<string> fused = EngineTable.VllmFusedWith(slot.Name) ?? [slot.Name];
        if (_largest.TryGetValue(fused[0], out float known)) return known;
        IEnumerable<LinearSlot> together = Block.Slots.Where(other => fused.Contains(other.Name) && Scheme.For($"{Block.Name}.{other.Name}").Grid == grid);
        return _largest[fused[0]] = together.Max(other => FloatSearch.Largest(other.WeightValues()));
    }
}

/// <summary>
/// The two activation streams of block reconstruction at one block. Windows 0..TrainingWindows-1 are for training, the rest are held out.
/// </summary>
/// <param name="QuantizedInput">Windows at the input of the block when everything before it is quantized.</param>
/// <param name="Target">Output of the full-precision block on the full-precision stream.</param>
/// <param name="TrainingWindows">Windows that may be trained on.</param>
public sealed record BlockStreams(ActivationStream QuantizedInput, ActivationStream Target, int TrainingWindows)
{
    /// <summary>Windows at the input of the block in the full-precision model; null unless the method asked for it.</summary>
    public ActivationStream? FullPrecisionInput { get; init; }

    /// <summary>What the block's linears get there; null where it was not kept on the way, so that it is computed again.</summary>
    public RecordedInputs? FullPrecisionInputs { get; init; }

    /// <summary>Which tokens of every window losses and statistics take; null for all.</summary>
    public IReadOnlyList<bool[]>? Masks { get; init; }

    /// <summary>Windows that are only measured.</summary>
    public int HeldOutWindows => QuantizedInput.Windows - TrainingWindows;
}

/// <summary>A step of a method.</summary>
/// <param name="Block">Number of the block.</param>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="Loss">Loss of this step.</param>
public readonly record struct BlockProgress(int Block, int Step, int Steps, double Loss);
