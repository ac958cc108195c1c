using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>Where the learned rounding of one linear begins.</summary>
/// <param name="Grid">Its grid.</param>
/// <param name="Fit">First scales, and what stays: zero points, or the integers of a two-level grid.</param>
internal sealed record LayerStart(WeightGrid Grid, FittedGrid Fit)
{
    // Values keep this part of their distance from the middle of their cell. With all of it so many lie close to a border that the first steps change
    // codes at random, and what the other method gained is lost before it can be improved on (docs/results/LOG.md).
    internal const float Depth = 0.5f;

    /// <summary>What is rounded, [outFeatures, inFeatures]; null for the slot's own weight.</summary>
    public float[]? Residual { get; init; }

    /// <summary>The branch beside the rounded weight, or null.</summary>
    public LowRankBranch? Branch { get; init; }

    /// <summary>The weight itself, on a grid found by its range or by a search.</summary>
    public static LayerStart OfWeight(LinearSlot slot, Scheme scheme, WorkerPool workers) => new(
        scheme.Grid, FittedGrid.Find(slot.WeightValues(), slot.OutFeatures, slot.InFeatures, scheme, workers));

    /// <summary>
    /// What another method made of the weight: its grid, its branch, and as the value to be rounded W - B A. Rounding that to nearest would lose what
    /// the other method's choice of codes gained, so every value is brought into the cell of its code: learning begins at exactly those codes, and the
    /// closer a choice was, the sooner it is changed.
    /// </summary>
    /// <param name="slot">The slot with its weight in full precision.</param>
    /// <param name="stored">What the other method made of it; no scale is 0.</param>
    /// <param name="scheme">Scheme of the layer; the grid is the stored weight's.</param>
    public static LayerStart OfQuantized(LinearSlot slot, QuantizedWeight stored, Scheme scheme)
    {
        float[] weight = slot.WeightValues(), branch = new float[weight.Length], residual = new float[weight.Length];
        stored.Branch?.AddTo(branch);
        FittedGrid fit = FittedGrid.OfStored(stored, scheme.ScaleDigits);
        float[] steps = fit.Steps, zeros = fit.Zeros;
        byte[] codes = fit.CodesOf(stored);
        int size = residual.Length / steps.Length;
        for (int i = 0; i < residual.Length; i++)
        {
            float step = steps[i / size];
            residual[i] = step * IntoCell((weight[i] - branch[i]) / step, codes[i], zeros[i / size], stored.Grid.MaxCode, Depth);
        }
        return new LayerStart(stored.Grid, fit) { Residual = residual, Branch = stored.Branch };
    }

    /// <summary>
    /// A value in steps that rounds to a code: one outside the code's cell is reflected at the cell's border, no further than its middle, and all keep
    /// <paramref name="depth"/> of their distance from the middle. Cells at the ends of the grid are open, and values there stay.
    /// </summary>
    internal static float IntoCell(float value, int code, float zero, int maxCode, float depth)
    {
        const float half = 0.5f;
        float distance = value - code + zero;
        if ((code == 0 && distance < 0) || (code == maxCode && distance > 0)) return value;
        float reflected = Math.Abs(distance) <= half ? Math.Abs(distance) : Math.Max(0, (2 * half) - Math.Abs(distance));
        return code - zero + (depth * MathF.CopySign(reflected, distance));
    }
}
