namespace LowRankQuant.Runs.Reports;

/// <summary>A linear of a block as the result stores it.</summary>
/// <param name="Block">The block.</param>
/// <param name="Name">Its name within the block.</param>
/// <param name="Rows">Outputs.</param>
/// <param name="Columns">Inputs.</param>
/// <param name="Type">Its grid in words; <c>floats</c> where it has none.</param>
/// <param name="Bits">Bits of a code; 16 for floats.</param>
/// <param name="Rank">Rank of its low-rank branch; 0 without.</param>
/// <param name="BitsPerWeight">Codes, scales, zero points and branch.</param>
/// <param name="Error">|W - What| / |W| of the weights, the branch included; null where transforms make the two incomparable.</param>
public sealed record TensorReport(int Block, string Name, int Rows, int Columns, string Type, int Bits, int Rank, double BitsPerWeight, double? Error)
{
    /// <summary>
    /// The share of weights, less the branch, that lie beyond the ends of their stored grid by more than half a step, so that their code is an end of it; null where there is no grid, where
    /// transforms make the two incomparable, and in reports of earlier versions.
    /// </summary>
    public double? Clipped { get; init; }
}

/// <summary>What an engine does with the result as it lies in its folder.</summary>
/// <param name="Engine">The engine.</param>
/// <param name="Verdict"><c>fast</c>, <c>loads</c> or <c>refuses</c>.</param>
/// <param name="Reason">Which rule decided.</param>
/// <param name="Versions">The releases that the verdict stands for.</param>
public sealed record EngineReport(string Engine, string Verdict, string Reason, string Versions);

/// <summary>What a result comes from, so that it can be made again.</summary>
/// <param name="Model">The source, as its user named it.</param>
/// <param name="BaseModel">Its name on the Hugging Face hub; null where that is not known.</param>
/// <param name="Engine">Version of lrq, kernels, and versions of methods.</param>
/// <param name="Machine">Processor, threads and kernels.</param>
/// <param name="Runtime">Version of .NET.</param>
/// <param name="ModelHash">SHA-256 over the source's configuration, tensor list and samples of its tensors.</param>
/// <param name="DataHash">SHA-256 of the calibration ids; <c>none</c> without.</param>
/// <param name="RecipeHash">SHA-256 of the resolved recipe.</param>
public sealed record RunOrigin(string Model, string? BaseModel, string Engine, string Machine, string Runtime, string? ModelHash, string? DataHash, string? RecipeHash);
