using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Corrections;

/// <summary>A branch for one linear of a quantized model.</summary>
/// <param name="Module">Module path.</param>
/// <param name="Branch">The branch; null where none pays.</param>
/// <param name="Report">Errors before and after.</param>
public sealed record CorrectedLayer(string Module, LowRankBranch? Branch, LayerReport Report);
