using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// The grid of one weight, chosen before its codes: what a method learns from, and what it rounds onto in the end. A group's step is a stored scale
/// times a fixed integer (1 on a uniform grid), so that a learned step is always one that the grid can store:
/// <code>step_g = scale_b |k_g|,  value = (u - zero_g) step_g,  u = 0..2^bits-1</code>
/// Codes that are floats have their own number in the place of u - zero.
/// </summary>
public abstract class FittedGrid
{
    private protected FittedGrid(int outFeatures, int inFeatures)
    {
        OutFeatures = outFeatures;
        InFeatures = inFeatures;
    }

    /// <summary>Rows.</summary>
    public int OutFeatures { get; }

    /// <summary>Columns.</summary>
    public int InFeatures { get; }

    /// <summary>What codes stand for where they are floats; null for integers.</summary>
    public virtual SmallFloat? Floats => null;

    /// <summary>Whether other scales can be stored than those that were found, so that they may be learned.</summary>
    public virtual bool HasFreeScales => true;

    /// <summary>Magnitudes of the stored scales, [out, scales per row] or one element; positive, and not yet rounded where they were learned.</summary>
    public abstract float[] Scales { get; }

    /// <summary>ln |k|, [out, groups], where several groups share a scale; else empty.</summary>
    public abstract float[] LogMultiples { get; }

    /// <summary>The place of the value 0 among the codes, [out, groups] or one element; not an integer where minima are stored apart.</summary>
    public abstract float[] Zeros { get; }

    /// <summary>Steps, [out, groups] or one element; positive.</summary>
    public abstract float[] Steps { get; }

    /// <summary>The same grid with other scales; minima keep their place among the codes.</summary>
    /// <param name="scales">As <see cref="Scales"/>; positive and finite.</param>
    public abstract FittedGrid WithScales(float[] scales);

    /// <summary>
    /// Rounds the scales to their stored type, then every weight to the nearest code for them:
    /// code = clamp(round(W / (step e^D) + zero), 0, 2^bits-1), D = 0 when not given. Round half to even, in 32-bit floats.
    /// </summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major.</param>
    /// <param name="exponent">D, shaped as the weight, or empty for zeros.</param>
    /// <param name="workers">Threads; rows are independent.</param>
    /// <exception cref="ArgumentOutOfRangeException">A scale is not finite or beyond its stored type.</exception>
    public QuantizedWeight Round(ReadOnlyMemory<float> weight, ReadOnlyMemory<float> exponent, WorkerPool workers) => Round(weight, exponent, default, workers);

    /// <summary>The same with something in front of the rounding: code = clamp(round(W / (step e^D) + V + zero), 0, 2^bits-1).</summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major.</param>
    /// <param name="exponent">D, shaped as the weight, or empty for zeros.</param>
    /// <param name="offset">V in steps, shaped as the weight, or empty for zeros; empty where codes are floats.</param>
    /// <param name="workers">Threads; rows are independent.</param>
    public abstract QuantizedWeight Round(ReadOnlyMemory<float> weight, ReadOnlyMemory<float> exponent, ReadOnlyMemory<float> offset, WorkerPool workers);

    /// <summary>Whether the place of the value 0 among the codes may be any number, so that one that is learned is not rounded to a whole one.</summary>
    public virtual bool HasFloatZeros => false;

    /// <summary>The same grid with other zero points.</summary>
    /// <param name="zeros">[out, groups]; whole numbers among the codes unless <see cref="HasFloatZeros"/>.</param>
    /// <exception cref="InvalidOperationException">The grid stores no zero point per group.</exception>
    public virtual FittedGrid WithZeros(float[] zeros) => throw new InvalidOperationException("The grid stores no zero point of its own for every group.");

    /// <summary>The codes u of a weight that is stored on this grid, [out, in].</summary>
    public abstract byte[] CodesOf(QuantizedWeight stored);

    /// <summary>The grid of a weight that is quantized already.</summary>
    /// <param name="stored">The weight.</param>
    /// <param name="scaleDigits">Significant bits of a stored scale of a uniform grid; null for all that its type has.</param>
    /// <exception cref="ArgumentException">A scale of a two-level grid is 0, or one of an affine grid is not positive.</exception>
    public static FittedGrid OfStored(QuantizedWeight stored, int? scaleDigits) => stored switch
    {
        UniformWeight uniform => new UniformFit(
            uniform.OutFeatures, uniform.InFeatures, uniform.Grid, uniform.ScaleType,
            new GridParameters(uniform.Scales, uniform.ZeroPoints ?? [.. Enumerable.Repeat((byte)uniform.Grid.SymmetricZero, uniform.Scales.Length)]), scaleDigits),
        AffineWeight affine => AffineFit.Of(affine.OutFeatures, affine.InFeatures, affine.Grid, affine.ScaleType, new AffineParameters(affine.Scales, affine.Minima)),
        TwoLevelWeight twoLevel => new TwoLevelFit(twoLevel.OutFeatures, twoLevel.InFeatures, twoLevel.Grid, twoLevel.Scales),
        FloatWeight floats => new FloatFit(floats.OutFeatures, floats.InFeatures, floats.Grid, floats.ScaleType, new FloatScales(floats.Scales, floats.Divisor), scaleDigits),
        _ => throw new ArgumentOutOfRangeException(nameof(stored), stored.Grid, "Unknown grid."),
    };

    /// <summary>Finds the first grid of a weight.</summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="scheme">The grid, and how it is found.</param>
    /// <param name="workers">Threads; their number changes nothing.</param>
    public static FittedGrid Find(ReadOnlyMemory<float> weight, int outFeatures, int inFeatures, Scheme scheme, WorkerPool workers) => scheme.Grid switch
    {
        UniformGrid grid => new UniformFit(
            outFeatures, inFeatures, grid, scheme.ScaleType, GridSearch.Find(weight, inFeatures, grid, scheme.Start, workers), scheme.ScaleDigits),
        AffineGrid grid => AffineFit.Of(outFeatures, inFeatures, grid, scheme.ScaleType, AffineSearch.Find(weight, grid, scheme.Start, scheme.ScaleType, workers)),
        TwoLevelGrid grid => new TwoLevelFit(
            outFeatures, inFeatures, grid, TwoLevelSearch.Find(weight, inFeatures, grid, scheme.Start, default, workers)),
        FloatGrid grid => new FloatFit(
            outFeatures, inFeatures, grid, scheme.ScaleType, FloatSearch.Find(weight, outFeatures, inFeatures, scheme with { Grid = grid }, workers), scheme.ScaleDigits),
        _ => throw new ArgumentOutOfRangeException(nameof(scheme), scheme.Grid, "Unknown grid."),
    };
}
