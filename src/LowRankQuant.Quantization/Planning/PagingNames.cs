using LowRankQuant.Models.Decoder.Linears;

namespace LowRankQuant.Quantization.Planning;

/// <summary>How a block is worked on where some of its weights stay in their files, in words.</summary>
public static class PagingNames
{
    /// <summary>The words.</summary>
    public static string Of(WeightPaging paging) => paging switch
    {
        WeightPaging.Experts => "expert by expert",
        WeightPaging.Linears => "linear by linear",
        _ => "whole",
    };
}
