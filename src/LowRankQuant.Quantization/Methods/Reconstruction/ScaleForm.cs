namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>What is learned inside the rounding of one weight: the form of the exponent D.</summary>
public enum ScaleForm
{
    /// <summary>LRQ: D = L2 U2 + r2 + c2.</summary>
    LowRank,

    /// <summary>FlexRound: D = S2 + r2 with a full S2 and no c2.</summary>
    Full,

    /// <summary>D = 0, or r2 alone.</summary>
    None,
}

/// <summary>Which form and rank a weight gets.</summary>
/// <param name="Form">Low rank or full.</param>
/// <param name="Rank">Inner dimension of L2 U2; 0 for <see cref="ScaleForm.Full"/>.</param>
public readonly record struct ScaleShape(ScaleForm Form, int Rank)
{
    /// <summary>Whether there is r2, a number for every output.</summary>
    public bool HasRowOffset { get; init; } = true;

    /// <summary>Whether there is c2, a number for every input; only of <see cref="ScaleForm.LowRank"/>.</summary>
    public bool HasColumnOffset { get; init; } = Form == ScaleForm.LowRank;

    /// <summary>The paper: low rank everywhere; a rank beyond the matrix is cut to it.</summary>
    public static ScaleShape LowRankFor(int outFeatures, int inFeatures, int rank) =>
        new(ScaleForm.LowRank, Math.Min(rank, Math.Min(outFeatures, inFeatures)));

    /// <summary>
    /// What LRQ's released code does: a full matrix where exactly one side exceeds 4096 or both are 8192, rank 2048 where both are at least 8192,
    /// otherwise 1024.
    /// </summary>
    public static ScaleShape ReleasedHybridFor(int outFeatures, int inFeatures)
    {
        if ((outFeatures <= 4096 && inFeatures > 4096) || (outFeatures > 4096 && inFeatures <= 4096) || (outFeatures == 8192 && inFeatures == 8192))
            return new ScaleShape(ScaleForm.Full, 0);
        return LowRankFor(outFeatures, inFeatures, outFeatures >= 8192 && inFeatures >= 8192 ? 2048 : 1024);
    }

    /// <summary>Learned numbers besides log s1.</summary>
    public long ParameterCount(int outFeatures, int inFeatures) => (Form switch { ScaleForm.Full => (long)outFeatures * inFeatures, ScaleForm.LowRank => (long)Rank * (outFeatures + inFeatures), _ => 0 })
        + (HasRowOffset ? outFeatures : 0) + (HasColumnOffset ? inFeatures : 0);
}
