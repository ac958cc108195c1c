using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>Where the learned rounding of one linear begins.</summary>
/// <param name="Scheme">Its grid and stored scale type.</param>
/// <param name="Grid">First steps, and the zero points, which stay.</param>
internal sealed record LayerStart(Scheme Scheme, GridParameters Grid)
{
    // How far from a border of its cell a value is kept, in steps: a scale that moves in its last bits must not move codes.
    private const float Margin = 1e-3f;

    /// <summary>What is rounded, [outFeatures, inFeatures]; null for the slot's own weight.</summary>
    public float[]? Residual { get; init; }

    /// <summary>The branch beside the rounded weight, or null.</summary>
    public LowRankBranch? Branch { get; init; }

    /// <summary>The weight itself, on a grid found by its range or by a search.</summary>
    public static LayerStart OfWeight(LinearSlot slot, Scheme scheme, WorkerPool workers) =>
        new(scheme, GridSearch.Find(((DenseWeight)slot.Weight).Value.ToArray(), slot.InFeatures, scheme.Grid, scheme.Start, workers));

    /// <summary>
    /// What another method made of the weight: its grid, its branch, and as the value to be rounded W - B A. Rounding that to nearest would lose what
    /// the other method's choice of codes gained, so a value outside the cell of its code is reflected at the cell's border: learning begins at
    /// exactly those codes, and the closer a choice was, the sooner it is changed.
    /// </summary>
    /// <param name="slot">The slot with its weight in full precision.</param>
    /// <param name="stored">What the other method made of it.</param>
    /// <param name="scheme">Scheme of the run; the width is the stored weight's.</param>
    public static LayerStart OfQuantized(LinearSlot slot, QuantizedWeight stored, Scheme scheme)
    {
        float[] weight = ((DenseWeight)slot.Weight).Value.ToArray(), branch = new float[weight.Length], residual = new float[weight.Length];
        stored.Branch?.AddTo(branch);
        UniformGrid grid = stored.Grid;
        int groups = grid.GroupsPerRow(stored.InFeatures), size = stored.InFeatures / groups;
        byte[] zeros = stored.ZeroPoints ?? [.. Enumerable.Repeat((byte)grid.SymmetricZero, stored.Scales.Length)];
        for (int i = 0; i < residual.Length; i++)
        {
            int index = ((i / stored.InFeatures) * groups) + (i % stored.InFeatures / size);
            residual[i] = stored.Scales[index] * IntoCell((weight[i] - branch[i]) / stored.Scales[index], stored.Codes[i], zeros[index], grid.MaxCode);
        }
        return new LayerStart(scheme with { Grid = grid }, new GridParameters(stored.Scales, zeros)) { Residual = residual, Branch = stored.Branch };
    }

    /// <summary>A value in steps that rounds to a code: itself where it does, else reflected at the border of the code's cell, no further than its middle.</summary>
    internal static float IntoCell(float value, int code, int zero, int maxCode)
    {
        float middle = code - zero, low = middle - 0.5f, high = middle + 0.5f;
        if (value < low && code > 0) value = Math.Min((2 * low) - value, middle);
        else if (value > high && code < maxCode) value = Math.Max((2 * high) - value, middle);
        if (code > 0) value = Math.Max(value, low + Margin);
        return code < maxCode ? Math.Min(value, high - Margin) : value;
    }
}
