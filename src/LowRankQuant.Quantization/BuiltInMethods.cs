using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.AutoRound;
using LowRankQuant.Quantization.Methods.Awq;
using LowRankQuant.Quantization.Methods.ErrorFit;
using LowRankQuant.Quantization.Methods.FlexRound;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Quantization.Methods.Gptq;
using LowRankQuant.Quantization.Methods.Lrq;
using LowRankQuant.Quantization.Methods.LrqPlus;
using LowRankQuant.Quantization.Methods.Rtn;

namespace LowRankQuant.Quantization;

/// <summary>The methods of this version; the first is taken where nobody says which.</summary>
public static class BuiltInMethods
{
    /// <summary>All of them.</summary>
    public static MethodCatalog Catalog { get; } = new(
        [new LrqMethod(), new LrqHybridMethod(), new FlexRoundMethod(), new RtnMethod(), new LrqPlusMethod(), new FlrqMethod(), new FlrqPlusMethod(), new GptqMethod(), new AwqMethod(), new AutoRoundMethod(), .. ErrorFitMethod.All], BuiltInTransforms.All);
}
