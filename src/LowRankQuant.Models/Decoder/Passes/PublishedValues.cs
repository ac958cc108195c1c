using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder.Passes;

/// <summary>
/// Keys and values that blocks publish for later ones, by the number of the block that made them: those of the rows of one pass through all blocks. They
/// outlive the tapes of the blocks, and their gradients pass from the tapes of those that read to the tape of the one that made them.
/// </summary>
public sealed class PublishedValues : IDisposable
{
    private readonly Dictionary<int, (Variable Keys, Variable Values)> _rows = [];
    private readonly HashSet<int> _lent = [];
    private readonly Dictionary<int, (Tensor Keys, Tensor Values)> _slopes = [];

    /// <summary>Whether what blocks publish is not kept: a pass that is only looked at.</summary>
    public bool IsFixed { get; init; }

    /// <summary>What a block published, [rows, keyValueHeads * headSize] each.</summary>
    /// <exception cref="InvalidOperationException">It has not published in this pass.</exception>
    public (Variable Keys, Variable Values) Get(int block) => _rows.TryGetValue(block, out (Variable Keys, Variable Values) found)
        ? found
        : throw new InvalidOperationException($"Block {block} has published no keys and values in this pass.");

    /// <summary>Whether a block has published in this pass.</summary>
    public bool HasOwn(int block) => _rows.ContainsKey(block) && !_lent.Contains(block);

    /// <summary>Gives what was kept of an earlier pass, with places for gradients where they are wanted; all stay the caller's.</summary>
    public void Lend(int block, Variable keys, Variable values)
    {
        _rows[block] = (keys, values);
        _lent.Add(block);
    }

    /// <summary>Gives the gradients that later blocks sent to what a block publishes; they stay the caller's.</summary>
    public void LendSlopes(int block, Tensor keys, Tensor values) => _slopes[block] = (keys, values);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((int block, (Variable keys, Variable values)) in _rows)
        {
            if (_lent.Contains(block)) continue;
            keys.Value.Dispose();
            values.Value.Dispose();
        }
        _rows.Clear();
    }

    /// <summary>Keeps copies of what a block publishes, and adds the gradients that were sent to it.</summary>
    internal (Variable Keys, Variable Values) Publish(Tape tape, int block, Variable keys, Variable values)
    {
        if (!IsFixed)
        {
            if (_rows.Remove(block, out (Variable Keys, Variable Values) old) && !_lent.Remove(block))
            {
                old.Keys.Value.Dispose();
                old.Values.Value.Dispose();
            }
            _rows[block] = (Copy(keys.Value), Copy(values.Value));
        }
        return _slopes.TryGetValue(block, out (Tensor Keys, Tensor Values) slopes) ? (Joined(tape, keys, slopes.Keys), Joined(tape, values, slopes.Values)) : (keys, values);
    }

    private static Variable Joined(Tape tape, Variable x, Tensor slopes) => tape.ObserveGradient(x, gradient => tape.Device.Kernels.AddScaled(slopes, 1, gradient));

    private static Variable Copy(Tensor source)
    {
        Tensor copy = source.Device.Empty(source.Shape);
        source.Device.Kernels.Copy(source, copy);
        return new Variable(copy);
    }
}
