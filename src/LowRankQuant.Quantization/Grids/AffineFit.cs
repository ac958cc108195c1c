using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// Steps and minima of a weight on an affine grid. A minimum is kept as its place among the codes, zero = -minimum / step, so that it follows a learned step;
/// both are rounded to their stored type in the end, and codes are chosen for what they have become:
/// <code>s = stored(step),  m = stored(-zero s),  code = clamp(round(W / (s e^D) + V - m / s), 0, 2^bits-1)</code>
/// </summary>
public sealed class AffineFit : FittedGrid
{
    private readonly AffineGrid _grid;
    private readonly ScaleType _scaleType;

    /// <summary>A fitted grid.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="scaleType">The type in which scales and minima are stored.</param>
    /// <param name="steps">[outFeatures, groups]; positive.</param>
    /// <param name="zeros">As the steps: the place of the value 0 among the codes, which may lie beyond them.</param>
    /// <exception cref="ArgumentException">A step is not positive, or a length does not fit.</exception>
    public AffineFit(int outFeatures, int inFeatures, AffineGrid grid, ScaleType scaleType, float[] steps, float[] zeros)
        : base(outFeatures, inFeatures)
    {
        long groups = (long)outFeatures * grid.GroupsPerRow(inFeatures);
        if (steps.LongLength != groups || zeros.LongLength != groups) throw new ArgumentException($"{steps.Length} steps and {zeros.Length} zeros where {grid} asks for {groups}.", nameof(steps));
        if (!Array.TrueForAll(steps, step => step > 0)) throw new ArgumentException("A step is not positive.", nameof(steps));
        (_grid, _scaleType, Scales, Zeros) = (grid, scaleType, steps, zeros);
    }

    /// <inheritdoc/>
    public override float[] Scales { get; }

    /// <summary>Empty: every group has its own scale.</summary>
    public override float[] LogMultiples => [];

    /// <inheritdoc/>
    public override float[] Zeros { get; }

    /// <inheritdoc/>
    public override bool HasFloatZeros => true;

    /// <inheritdoc/>
    public override float[] Steps => Scales;

    /// <summary>The grid of scales and minima.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="scaleType">Their stored type.</param>
    /// <param name="found">Scales, which must be positive, and minima.</param>
    public static AffineFit Of(int outFeatures, int inFeatures, AffineGrid grid, ScaleType scaleType, AffineParameters found) =>
        new(outFeatures, inFeatures, grid, scaleType, found.Steps, [.. found.Minima.Select((minimum, group) => -minimum / found.Steps[group])]);

    /// <inheritdoc/>
    public override byte[] CodesOf(QuantizedWeight stored) => stored.Codes;

    /// <inheritdoc/>
    public override AffineFit WithScales(float[] scales) => new(OutFeatures, InFeatures, _grid, _scaleType, scales, Zeros);

    /// <inheritdoc/>
    public override AffineFit WithZeros(float[] zeros) => new(OutFeatures, InFeatures, _grid, _scaleType, Scales, zeros);

    /// <inheritdoc/>
    public override AffineWeight Round(ReadOnlyMemory<float> weight, ReadOnlyMemory<float> exponent, ReadOnlyMemory<float> offset, WorkerPool workers)
    {
        float[] scales = new float[Scales.Length], minima = new float[scales.Length];
        for (int i = 0; i < scales.Length; i++) (scales[i], minima[i]) = Stored(Scales[i], Zeros[i], _scaleType);
        var codes = new byte[weight.Length];
        int groups = _grid.GroupsPerRow(InFeatures), size = _grid.GroupSize;
        workers.Run(OutFeatures, row =>
        {
            for (int group = row * groups; group < (row + 1) * groups; group++)
            {
                GridRounding.Round(
                    weight.Span.Slice(group * size, size), GridRounding.Part(exponent, group * size, size), GridRounding.Part(offset, group * size, size), scales[group],
                    -minima[group] / scales[group], _grid.MaxCode, codes.AsSpan(group * size, size));
            }
        });
        return new AffineWeight(OutFeatures, InFeatures, _grid, codes, scales, minima, _scaleType);
    }

    /// <summary>Scale and minimum as they are stored.</summary>
    /// <param name="step">The step; positive.</param>
    /// <param name="zero">The place of the value 0 among the codes.</param>
    /// <param name="type">Their type.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is not finite or beyond the type.</exception>
    internal static (float Scale, float Minimum) Stored(double step, double zero, ScaleType type)
    {
        float scale = StorageScale.Round((float)step, type);
        // A product of two floats is exact in double, and 0 has no sign here.
        return (scale, StorageScale.RoundMinimum((float)(0 - (zero * scale)), type));
    }
}
