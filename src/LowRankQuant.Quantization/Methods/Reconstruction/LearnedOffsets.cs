using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// AutoRound's rounding of one slot: an offset for every weight, and how much of every group's range is kept at either end (<see cref="OffsetRoundingOperation"/>). Steps are rounded to
/// their stored type in every forward pass, so that what is learned is what is stored.
/// </summary>
internal sealed class LearnedOffsets : ILearnedRounding
{
    private readonly UniformGrid _grid;
    private readonly ScaleType _scaleType;
    private readonly int _inFeatures;

    private LearnedOffsets(OffsetRoundingParameters parameters, UniformGrid grid, ScaleType scaleType, int inFeatures) =>
        (Parameters, _grid, _scaleType, _inFeatures) = (parameters, grid, scaleType, inFeatures);

    /// <summary>What is learned.</summary>
    public OffsetRoundingParameters Parameters { get; }

    /// <summary>Ignored: AutoRound only rounds.</summary>
    public float Softness { get; set; }

    /// <summary>Learned numbers of a weight.</summary>
    public static long ParameterCount(int outFeatures, int inFeatures, int groups) => (long)outFeatures * (inFeatures + (2 * groups));

    /// <summary>Places offsets of 0 and whole ranges in an arena.</summary>
    /// <param name="slot">The slot, with its weight in full precision.</param>
    /// <param name="scheme">Its grid, and how scales are stored.</param>
    /// <param name="arena">Holds what is learned.</param>
    /// <exception cref="NotSupportedException">The grid is not uniform, or has one scale for the whole weight.</exception>
    public static LearnedOffsets Create(LinearSlot slot, Scheme scheme, ParameterArena arena)
    {
        if (scheme.Grid is not UniformGrid { Granularity: not Granularity.Tensor } grid) throw new NotSupportedException("Learned offsets need a uniform grid with a scale per channel or group.");
        int groups = grid.GroupsPerRow(slot.InFeatures), size = slot.InFeatures / groups;
        float[] weight = slot.WeightValues(), smallest = new float[slot.OutFeatures * groups], largest = new float[smallest.Length], ones = new float[smallest.Length];
        for (int i = 0; i < weight.Length; i++)
        {
            smallest[i / size] = Math.Min(smallest[i / size], weight[i]);
            largest[i / size] = Math.Max(largest[i / size], weight[i]);
        }
        Array.Fill(ones, 1);
        var parameters = new OffsetRoundingParameters
        {
            Weight = ((DenseWeight)slot.Weight).Value,
            Offset = arena.TakeZeros(slot.OutFeatures, slot.InFeatures),
            Low = arena.TakeBounded(ones, 0, 1, slot.OutFeatures, groups),
            High = arena.TakeBounded(ones, 0, 1, slot.OutFeatures, groups),
            Smallest = smallest,
            Largest = largest,
            MaxCode = grid.MaxCode,
            Symmetric = grid.Symmetric,
            Stored = step => MathF.CopySign(StorageScale.Round(Math.Abs(step), scheme.ScaleType, scheme.ScaleDigits), step),
        };
        return new LearnedOffsets(parameters, grid, scheme.ScaleType, slot.InFeatures);
    }

    /// <inheritdoc/>
    public Variable Weight(Tape tape) => tape.RoundWithOffsets(Parameters);

    /// <inheritdoc/>
    public QuantizedWeight ToQuantizedWeight()
    {
        float[] weight = Parameters.Weight.ToArray(), offsets = Parameters.Offset.Value.ToArray(), scales = new float[Parameters.Smallest.Length];
        byte[] codes = new byte[weight.Length], zeros = new byte[scales.Length];
        int size = Parameters.GroupSize;
        Parameters.Weight.Device.HostWorkers.Run(scales.Length, group =>
        {
            OffsetGrid grid = Parameters.GridOf(group);
            (scales[group], zeros[group]) = (grid.Step, (byte)grid.Zero);
            for (int i = group * size; i < (group + 1) * size; i++) codes[i] = (byte)grid.Code(weight[i], offsets[i], Parameters.MaxCode);
        });
        return new UniformWeight(weight.Length / _inFeatures, _inFeatures, _grid, codes, scales, _grid.Symmetric ? null : zeros, _scaleType);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // The arena owns what is learned, the slot's own weight is put back by who took it out.
    }
}
