using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// Block scales and integers of a weight on a two-level grid. The integers are fixed; d may be learned, and dmin follows it, so that a minimum keeps its
/// place among the codes:
/// <code>
/// step_g = |d_b sc_g|      zero_g = dmin_b m_g / step_g (asymmetric)
/// symmetric: zero_g = 2^(bits-1) where d_b sc_g > 0, else 2^(bits-1) - 1: the codes run backwards, u = 2^bits - 1 - code
/// </code>
/// No scale is 0 here: a group of one value is as well served by any other integer.
/// </summary>
public sealed class TwoLevelFit : FittedGrid
{
    private readonly TwoLevelGrid _grid;
    private readonly TwoLevelScales _stored;

    /// <summary>A fitted grid.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="stored">Scales and minima; no scale is 0.</param>
    /// <exception cref="ArgumentException">A scale is 0.</exception>
    public TwoLevelFit(int outFeatures, int inFeatures, TwoLevelGrid grid, TwoLevelScales stored)
        : base(outFeatures, inFeatures)
    {
        if (stored.GroupScales.Contains((sbyte)0) || stored.BlockScales.Contains((Half)0)) throw new ArgumentException("A scale is 0; steps must be positive.", nameof(stored));
        _grid = grid;
        _stored = stored;
        Scales = [.. stored.BlockScales.Select(d => MathF.Abs((float)d))];
        LogMultiples = [.. stored.GroupScales.Select(scale => MathF.Log(Math.Abs((float)scale)))];
        Zeros = new float[stored.GroupScales.Length];
        for (int group = 0; group < Zeros.Length; group++) Zeros[group] = Zero(group);
    }

    /// <inheritdoc/>
    public override float[] Scales { get; }

    /// <inheritdoc/>
    public override float[] LogMultiples { get; }

    /// <inheritdoc/>
    public override float[] Zeros { get; }

    /// <inheritdoc/>
    public override float[] Steps
    {
        get
        {
            var steps = new float[_stored.GroupScales.Length];
            for (int group = 0; group < steps.Length; group++) steps[group] = MathF.Abs(_stored.Scale(group / _grid.GroupsPerBlock, group));
            return steps;
        }
    }

    /// <inheritdoc/>
    public override byte[] CodesOf(QuantizedWeight stored) => Turned(stored.Codes, _grid, _stored);

    /// <summary>Codes u for stored codes, or the other way: those of groups with a negative scale run backwards.</summary>
    /// <param name="codes">[out, in]; stay as they are.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="stored">Scales.</param>
    internal static byte[] Turned(byte[] codes, TwoLevelGrid grid, TwoLevelScales stored)
    {
        var turned = (byte[])codes.Clone();
        for (int group = 0; group < stored.GroupScales.Length; group++)
        {
            if (stored.Scale(group / grid.GroupsPerBlock, group) > 0) continue;
            foreach (ref byte code in turned.AsSpan(group * grid.GroupSize, grid.GroupSize)) code = (byte)(grid.MaxCode - code);
        }
        return turned;
    }

    /// <inheritdoc/>
    public override TwoLevelFit WithScales(float[] scales)
    {
        var d = (Half[])_stored.BlockScales.Clone();
        var dmin = (Half[]?)_stored.BlockMinima?.Clone();
        for (int block = 0; block < d.Length; block++)
        {
            d[block] = HalfScale.Round(scales[block] * MathF.Sign((float)d[block]));
            if (dmin is not null) dmin[block] = HalfScale.RoundMinimum((float)dmin[block] * (scales[block] / Scales[block]));
        }
        return new TwoLevelFit(OutFeatures, InFeatures, _grid, _stored with { BlockScales = d, BlockMinima = dmin });
    }

    /// <inheritdoc/>
    public override TwoLevelWeight Round(ReadOnlyMemory<float> weight, ReadOnlyMemory<float> exponent, ReadOnlyMemory<float> offset, WorkerPool workers)
    {
        var codes = new byte[weight.Length];
        float[] steps = Steps;
        int groups = _grid.GroupsPerRow(InFeatures), size = _grid.GroupSize;
        workers.Run(OutFeatures, row =>
        {
            for (int group = row * groups; group < (row + 1) * groups; group++)
            {
                GridRounding.Round(
                    weight.Span.Slice(group * size, size), GridRounding.Part(exponent, group * size, size), GridRounding.Part(offset, group * size, size), steps[group],
                    Zeros[group], _grid.MaxCode, codes.AsSpan(group * size, size));
            }
        });
        return new TwoLevelWeight(OutFeatures, InFeatures, _grid, Turned(codes, _grid, _stored), _stored);
    }

    private float Zero(int group)
    {
        int block = group / _grid.GroupsPerBlock;
        float scale = _stored.Scale(block, group);
        if (!_grid.Symmetric) return _stored.Minimum(block, group) / scale;
        return scale > 0 ? _grid.SymmetricZero : _grid.SymmetricZero - 1;
    }
}
