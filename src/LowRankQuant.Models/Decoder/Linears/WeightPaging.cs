namespace LowRankQuant.Models.Decoder.Linears;

/// <summary>Which weights of linears stay in the checkpoint's files, and become floats only while something is computed with them (<see cref="PagedWeight"/>).</summary>
public enum WeightPaging
{
    /// <summary>None: a block is in memory whole.</summary>
    None,

    /// <summary>Those of experts.</summary>
    Experts,

    /// <summary>All.</summary>
    Linears,
}
