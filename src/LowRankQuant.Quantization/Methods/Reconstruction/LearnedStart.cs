using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>The first grid of a learned rounding.</summary>
internal static class LearnedStart
{
    /// <summary>What was asked for, else the usual one; nothing may be asked for where integers of grids are always searched for.</summary>
    public static GridStart Resolve(MethodRequest request, GridStart usual)
    {
        if (request.AllTwoLevel) request.Refuse("does not apply to two-level grids: their integers are always searched for; leave it out", TrainingOptions.Start);
        return request.Values.Or(TrainingOptions.Start, usual);
    }
}
