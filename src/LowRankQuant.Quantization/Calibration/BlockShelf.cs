using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>Blocks that a forward pass leaves to the backward pass behind it, as far as memory goes: these are loaded, and their weights made, once for both.</summary>
/// <param name="budget">Memory to take, when it is there.</param>
internal sealed class BlockShelf(MemoryBudget budget) : IDisposable
{
    private readonly Dictionary<int, (IDecoderBlock Block, long Bytes)> _blocks = [];

    /// <summary>What keeping so many weights takes: each of them, the code it is made of, and the sum of its gradients.</summary>
    public static long BytesOf(long weights) => 3 * sizeof(float) * weights;

    /// <summary>Keeps a block, which is the shelf's from then on; false where there is no room, and it stays the caller's.</summary>
    /// <param name="block">The block.</param>
    public bool TryKeep(IDecoderBlock block)
    {
        long bytes = BytesOf(block.Slots.Sum(slot => (long)slot.OutFeatures * slot.InFeatures));
        if (!budget.TryReserve(bytes)) return false;
        _blocks.Add(block.Index, (block, bytes));
        return true;
    }

    /// <summary>Gives a block back, the caller's from then on; null where it was not kept.</summary>
    /// <param name="index">Its number.</param>
    public IDecoderBlock? Take(int index)
    {
        if (!_blocks.Remove(index, out (IDecoderBlock Block, long Bytes) kept)) return null;
        budget.Release(kept.Bytes);
        return kept.Block;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (int index in _blocks.Keys.ToArray()) Take(index)!.Dispose();
    }
}
