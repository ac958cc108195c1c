using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// The learned quantizer of one slot: log s1 and the parts of D as views into the block's <see cref="ParameterArena"/>. As a weight source it gives the
/// fake-quantized weight, plus the slot's low-rank branch where it has one. Shapes: W [out, in], log s1 and zero [out, groups], L2 [out, rank],
/// U2 [rank, in], S2 [out, in], r2 [out], c2 [in], V [out, in], zero points [out, groups].
/// On a float grid whose scales are no free floats s1 stays. On a two-level grid s1 = d |sc|: log d [out, blocks] is learned and the integers stay, so that every learned step can be stored (dmin follows d).
/// </summary>
internal sealed class LearnedScale : ILearnedRounding
{
    private readonly FittedGrid _start;
    private readonly Tensor? _multiples;
    private readonly Tensor? _residual;
    private readonly LearnedBranch? _branch;

    private LearnedScale(LinearSlot slot, FittedGrid start, FakeQuantizeParameters parameters, Tensor? multiples, Tensor? residual, LearnedBranch? branch)
    {
        Slot = slot;
        Parameters = parameters;
        _start = start;
        _multiples = multiples;
        _residual = residual;
        _branch = branch;
    }

    public LinearSlot Slot { get; }

    /// <summary>What is learned; its log s1 is that of the stored scales.</summary>
    public FakeQuantizeParameters Parameters { get; }

    /// <inheritdoc/>
    /// <remarks>Grids of floats have no steps to measure ramps in, and only round.</remarks>
    public float Softness { get; set; }

    /// <summary>B and A of the branch where they are learned; empty else.</summary>
    public IReadOnlyList<Variable> BranchFactors => _branch?.LearnedFactors ?? [];

    /// <summary>Learned numbers of a weight, log s1 included.</summary>
    public static long ParameterCount(int outFeatures, int inFeatures, RoundingParts parts, WeightGrid grid) =>
        parts.Shape.ParameterCount(outFeatures, inFeatures) + (grid is FloatGrid { HasFreeScales: false } ? 0 : (long)outFeatures * grid.ScalesPerRow(inFeatures))
        + (parts.HasOffsets ? (long)outFeatures * inFeatures : 0) + (parts.HasZeroPoints ? (long)outFeatures * grid.GroupsPerRow(inFeatures) : 0);

    /// <summary>Places the parameters in the arena at their first values: log s1 from the grid, U2 uniform in +-1/sqrt(in), the rest 0.</summary>
    /// <param name="slot">The slot, with its weight in full precision.</param>
    /// <param name="parts">What is learned.</param>
    /// <param name="start">Grid, and what is rounded beside which branch.</param>
    /// <param name="arena">Holds what is learned.</param>
    /// <param name="seed">Of U2.</param>
    /// <exception cref="NotSupportedException">The grid has one scale for the whole weight.</exception>
    public static LearnedScale Create(LinearSlot slot, RoundingParts parts, LayerStart start, ParameterArena arena, ulong seed)
    {
        ScaleShape shape = parts.Shape;
        Device device = arena.Device;
        WeightGrid grid = start.Grid;
        FittedGrid fit = start.Fit;
        int outFeatures = slot.OutFeatures, inFeatures = slot.InFeatures, groups = grid.GroupsPerRow(inFeatures);
        if (grid is UniformGrid { Granularity: Granularity.Tensor }) throw new NotSupportedException("Learned scales need one scale per channel or group.");
        float[] logScale = [.. fit.Scales.Select(scale => MathF.Log(scale))];
        Variable? left = null, right = null, full = null, column = null;
        Variable log = fit.HasFreeScales
            ? arena.Take(logScale, outFeatures, grid.ScalesPerRow(inFeatures))
            : new Variable(device.From(logScale, outFeatures, grid.ScalesPerRow(inFeatures)));
        Variable? row = shape.HasRowOffset ? arena.TakeZeros(outFeatures) : null;
        if (shape.Form == ScaleForm.LowRank)
        {
            left = arena.TakeZeros(outFeatures, shape.Rank);
            right = arena.Take(KaimingUniform(shape.Rank, inFeatures, seed), shape.Rank, inFeatures);
            if (shape.HasColumnOffset) column = arena.TakeZeros(inFeatures);
        }
        else if (shape.Form == ScaleForm.Full)
        {
            full = arena.TakeZeros(outFeatures, inFeatures);
        }
        Tensor? residual = start.Residual is { } values ? device.From(values, outFeatures, inFeatures) : null;
        LearnedBranch? branch = start.Branch is { } given ? parts.TrainsBranch ? LearnedBranch.Learned(given, arena) : LearnedBranch.Fixed(given, device) : null;
        var parameters = new FakeQuantizeParameters
        {
            Weight = residual ?? ((DenseWeight)slot.Weight).Value,
            LogScale = log,
            Zero = device.From(fit.Zeros, outFeatures, groups),
            MaxCode = grid.MaxCode,
            Floats = fit.Floats,
            Left = left,
            Right = right,
            Full = full,
            RowOffset = row,
            ColumnOffset = column,
            Offset = parts.HasOffsets ? arena.TakeZeros(outFeatures, inFeatures) : null,
            ZeroPoint = parts.HasZeroPoints ? ZeroPoints(fit, grid.MaxCode, arena, outFeatures, groups) : null,
            HasWholeZeros = !fit.HasFloatZeros,
        };
        Tensor? multiples = fit.LogMultiples.Length == 0 ? null : device.From(fit.LogMultiples, outFeatures, groups);
        return new LearnedScale(slot, fit, parameters, multiples, residual, branch);
    }

    /// <inheritdoc/>
    public Variable Weight(Tape tape)
    {
        FakeQuantizeParameters parameters = Softness > 0 && tape.Recording && Parameters.Floats is null ? Parameters with { Softness = Softness } : Parameters;
        Variable rounded = tape.FakeQuantize(
            _multiples is null ? parameters : parameters with { LogScale = tape.GroupSteps(Parameters.LogScale, _multiples) });
        return _branch is null ? rounded : _branch.AddTo(tape, rounded);
    }

    /// <inheritdoc/>
    /// <remarks>Scales are rounded to their stored type, codes chosen once more with them; the branch is beside it.</remarks>
    public QuantizedWeight ToQuantizedWeight()
    {
        Device device = Parameters.Zero.Device;
        FittedGrid fit = _start.HasFreeScales ? _start.WithScales([.. Parameters.LogScale.Value.ToArray().Select(log => MathF.Exp(log))]) : _start;
        if (Parameters.ZeroPoint is { } zeros) fit = fit.WithZeros([.. zeros.Value.ToArray().Select(Parameters.ZeroOf)]);
        return fit.Round(Parameters.Weight.ToArray(), Exponent(device), Parameters.Offset?.Value.ToArray(), device.HostWorkers).WithBranch(_branch?.ToBranch());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Parameters.Zero.Dispose();
        if (!_start.HasFreeScales) Parameters.LogScale.Value.Dispose();
        _multiples?.Dispose();
        _residual?.Dispose();
        _branch?.Dispose();
    }

    // Where minima are stored as floats the value 0 may lie beyond the codes, as a group of weights of one sign has it.
    private static Variable ZeroPoints(FittedGrid fit, int maxCode, ParameterArena arena, int outFeatures, int groups)
    {
        float[] start = [.. fit.Zeros.Select(zero => zero / FakeQuantizeParameters.ZeroUnit)];
        return fit.HasFloatZeros ? arena.Take(start, outFeatures, groups) : arena.TakeBounded(start, 0, maxCode / FakeQuantizeParameters.ZeroUnit, outFeatures, groups);
    }

    private static float[] KaimingUniform(int rank, int inFeatures, ulong seed)
    {
        var random = new SeededRandom(seed);
        var values = new float[rank * inFeatures];
        double bound = Math.Sqrt(inFeatures);
        for (int i = 0; i < values.Length; i++) values[i] = (float)(((2 * random.NextUniform()) - 1) / bound);
        return values;
    }

    /// <summary>D, [out, in].</summary>
    private float[] Exponent(Device device)
    {
        int outFeatures = Slot.OutFeatures, inFeatures = Slot.InFeatures;
        float[] exponent;
        if (Parameters.Left is not null)
        {
            using Tensor product = device.Empty(outFeatures, inFeatures);
            device.Kernels.MatMul(Parameters.Left.Value, false, Parameters.Right!.Value, false, product, accumulate: false);
            exponent = product.ToArray();
        }
        else
        {
            exponent = Parameters.Full?.Value.ToArray() ?? new float[outFeatures * inFeatures];
        }
        float[]? row = Parameters.RowOffset?.Value.ToArray(), column = Parameters.ColumnOffset?.Value.ToArray();
        for (int i = 0; i < outFeatures; i++)
        {
            for (int j = 0; j < inFeatures; j++) exponent[(i * inFeatures) + j] += (row?[i] ?? 0) + (column?[j] ?? 0);
        }
        return exponent;
    }
}
