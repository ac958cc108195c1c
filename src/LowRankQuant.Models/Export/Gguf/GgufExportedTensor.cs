using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>A tensor that an export wrote.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="Source">Name in the source; null for a tensor that the configuration stands for.</param>
/// <param name="Type">Type in the file.</param>
/// <param name="Weights">Elements.</param>
/// <param name="Bytes">Bytes, without padding.</param>
/// <param name="IsLinear">Whether it is a linear weight of a block.</param>
/// <param name="KeepsGrid">Whether the codes and scales of the source were stored as they are, nothing rounded.</param>
public sealed record GgufExportedTensor(string Name, string? Source, GgmlType Type, long Weights, long Bytes, bool IsLinear, bool KeepsGrid);
