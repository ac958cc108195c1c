namespace LowRankQuant.Quantization.Targets;

/// <summary>What happens to a layer whose grid the target cannot hold.</summary>
public enum MisfitRule
{
    /// <summary>The recipe is refused; the message names the nearest grid that fits.</summary>
    Refuse,

    /// <summary>The layer gets the nearest grid that fits, and the change is said.</summary>
    Nearest,
}
