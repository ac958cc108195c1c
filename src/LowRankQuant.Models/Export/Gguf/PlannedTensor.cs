using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>A tensor whose place and type in the file are decided.</summary>
/// <param name="Tensor">What the writer needs.</param>
/// <param name="Source">Name in the source; null for a tensor that the configuration stands for.</param>
/// <param name="IsLinear">Whether it is a linear weight of a block.</param>
/// <param name="KeepsGrid">Whether codes and scales are stored as the source has them.</param>
internal sealed record PlannedTensor(PendingGgufTensor Tensor, string? Source, bool IsLinear, bool KeepsGrid)
{
    /// <summary>What the result says of it.</summary>
    public GgufExportedTensor Exported => new(Tensor.Name, Source, Tensor.Type, Tensor.ElementCount, Tensor.ByteLength, IsLinear, KeepsGrid);
}
