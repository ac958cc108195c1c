using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Corrections;

/// <summary>
/// Finished blocks of <c>lrq correct</c> in its run folder: branches as <c>MODULE.branch_a</c> [rank, in] and <c>MODULE.branch_b</c> [out, rank], F16
/// or BF16, or F32 where their elements are codes times a scale, beside the block's report.
/// </summary>
/// <param name="folder">The run folder.</param>
/// <param name="factorBits">Bits of an element of a factor.</param>
internal sealed class BranchStore(RunFolder folder, int factorBits)
{
    /// <summary>Whether a block is finished.</summary>
    public bool Has(int index) => folder.HasBlock(index);

    /// <summary>Keeps a finished block.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="layers">Its linears in slot order.</param>
    /// <param name="warnings">What the user should know about it.</param>
    /// <param name="seconds">Wall time.</param>
    public void Write(int index, IReadOnlyList<CorrectedLayer> layers, IReadOnlyList<string> warnings, double seconds)
    {
        var tensors = new List<PendingTensor>();
        foreach (CorrectedLayer layer in layers)
        {
            if (layer.Branch is not { } branch) continue;
            Add(layer.Module + CompressedBlockStore.FactorA, [branch.Rank, layer.Report.InFeatures], branch.A);
            Add(layer.Module + CompressedBlockStore.FactorB, [layer.Report.OutFeatures, branch.Rank], branch.B);
        }
        var report = new BlockReport(index, null, null, null, null, seconds) { Layers = [.. layers.Select(layer => layer.Report)], Warnings = warnings };
        folder.WriteBlock(index, tensors, report);

        void Add(string name, long[] shape, float[] values) =>
            tensors.Add(PendingTensor.FromSingles(name, CompressedBlockStore.TypeOf(values, factorBits), shape, values));
    }

    /// <summary>Reads a finished block back.</summary>
    public (IReadOnlyList<CorrectedLayer> Layers, IReadOnlyList<string> Warnings) Read(IDecoderBlock block)
    {
        BlockReport report = folder.ReadReport(block.Index);
        using SafetensorsFile file = SafetensorsFile.Open(folder.BlockFile(block.Index));
        CorrectedLayer[] layers = [.. report.Layers.Select(layer =>
        {
            string module = $"{block.Name}.{layer.Name}";
            LowRankBranch? branch = layer.Rank == 0 ? null : new LowRankBranch(
                layer.Rank, CompressedBlockStore.Factor(file, module + CompressedBlockStore.FactorA),
                CompressedBlockStore.Factor(file, module + CompressedBlockStore.FactorB), factorBits);
            return new CorrectedLayer(module, branch, layer);
        })];
        return (layers, report.Warnings);
    }
}
