namespace LowRankQuant.Models.Export.Gguf;

/// <summary>What an export wrote.</summary>
/// <param name="Path">The file.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Tensors">Its tensors, in the order of the file.</param>
/// <param name="Notes">What a user of the file should know, a sentence each; empty when there is nothing.</param>
public sealed record GgufExport(string Path, long Bytes, IReadOnlyList<GgufExportedTensor> Tensors, IReadOnlyList<string> Notes)
{
    /// <summary>Bits of a weight of the whole file, metadata included.</summary>
    public double BitsPerWeight => 8.0 * Bytes / Tensors.Sum(tensor => tensor.Weights);

    /// <summary>Bits of a weight of the blocks' linear layers, which is where quantization happens.</summary>
    public double LinearBitsPerWeight => 8.0 * Linears.Sum(tensor => tensor.Bytes) / Linears.Sum(tensor => tensor.Weights);

    private IEnumerable<GgufExportedTensor> Linears => Tensors.Where(tensor => tensor.IsLinear);
}
