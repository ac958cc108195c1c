using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder;

/// <summary>
/// Keys and values that blocks publish for later ones, by the number of the block that made them: those of the rows of one pass through all blocks. They
/// outlive the tapes of the blocks.
/// </summary>
public sealed class PublishedValues : IDisposable
{
    private readonly Dictionary<int, (Tensor Keys, Tensor Values)> _rows = [];
    private readonly HashSet<int> _lent = [];

    /// <summary>Whether what blocks publish is not kept: a pass that is only looked at.</summary>
    public bool IsFixed { get; init; }

    /// <summary>What a block published, [rows, keyValueHeads * headSize] each.</summary>
    /// <exception cref="InvalidOperationException">It has not published in this pass.</exception>
    public (Tensor Keys, Tensor Values) Get(int block) => _rows.TryGetValue(block, out (Tensor Keys, Tensor Values) found)
        ? found
        : throw new InvalidOperationException($"Block {block} has published no keys and values in this pass.");

    /// <summary>Whether a block has published in this pass.</summary>
    public bool HasOwn(int block) => _rows.ContainsKey(block) && !_lent.Contains(block);

    /// <summary>Gives what was kept of an earlier pass; it stays the caller's.</summary>
    public void Lend(int block, Tensor keys, Tensor values)
    {
        _rows[block] = (keys, values);
        _lent.Add(block);
    }

    /// <summary>Keeps copies of what a block publishes.</summary>
    public void Set(int block, Tensor keys, Tensor values)
    {
        if (IsFixed) return;
        if (_rows.Remove(block, out (Tensor Keys, Tensor Values) old) && !_lent.Remove(block)) Release(old);
        _rows[block] = (Copy(keys), Copy(values));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((int block, (Tensor, Tensor) pair) in _rows)
        {
            if (!_lent.Contains(block)) Release(pair);
        }
        _rows.Clear();
    }

    private static Tensor Copy(Tensor source)
    {
        Tensor copy = source.Device.Empty(source.Shape);
        source.Device.Kernels.Copy(source, copy);
        return copy;
    }

    private static void Release((Tensor Keys, Tensor Values) pair)
    {
        pair.Keys.Dispose();
        pair.Values.Dispose();
    }
}
