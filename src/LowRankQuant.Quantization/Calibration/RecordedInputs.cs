using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// The inputs of a block's linears on a stream, kept from the pass that takes its windows through the block, so that who needs them later does not compute the block again.
/// They lie in memory while the budget of the stream lasts and on disk beyond it, in the same place for every block. Not kept are those of the first stage, which come from the
/// block's input at hardly any cost, those of experts, and those that neither memory nor disk has room for.
/// </summary>
/// <param name="stream">The stream.</param>
public sealed class RecordedInputs(ActivationStream stream) : IDisposable
{
    private readonly Dictionary<LinearSlot, ActivationStore> _kept = [];
    private readonly List<ActivationStore> _stores = [];
    private int _window;

    /// <summary>Takes all windows of the stream through a block, one by one; the stream then holds what comes out. What was kept of another block is gone.</summary>
    /// <param name="block">The block, without routers: they would send tokens elsewhere in another model.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public void Advance(IDecoderBlock block, CancellationToken cancellation)
    {
        if (block.Routers.Count > 0) throw new ArgumentException($"{block.Name} has routers.", nameof(block));
        Forget();
        IReadOnlyList<InputStage> stages = InputStages.Find(block, () => stream.Look(block, 0, 1, (_, _) => { }, cancellation, batch: 1));
        LinearSlot[] slots = [.. stages.Skip(1).Where(stage => stage.Sites.Count == 1).Select(stage => block.Slots[stage.Sites[0].First])];
        try
        {
            foreach (LinearSlot slot in slots) Watch(slot);
            _window = 0;
            stream.Advance(block, (window, _) => _window = window + 1, cancellation, batch: 1);
        }
        catch
        {
            Forget();
            throw;
        }
        finally
        {
            foreach (LinearSlot slot in slots) slot.InputObserver = null;
        }
    }

    /// <summary>Whether the inputs of a linear are kept; those of linears that share them are under the first.</summary>
    public bool Has(LinearSlot slot) => _kept.ContainsKey(slot);

    /// <summary>Reads a window's inputs of a linear.</summary>
    /// <param name="slot">The linear.</param>
    /// <param name="window">Number of the window.</param>
    /// <param name="device">Where they are wanted.</param>
    /// <returns>[length, inFeatures]; the caller's.</returns>
    public Tensor Read(LinearSlot slot, int window, Device device)
    {
        Tensor inputs = device.Empty(stream.LengthOf(window), slot.InFeatures);
        _kept[slot].Read(window, inputs);
        return inputs;
    }

    /// <summary>Keeps nothing of any block any more; the room for the next one's stays.</summary>
    public void Forget() => _kept.Clear();

    /// <inheritdoc/>
    public void Dispose()
    {
        Forget();
        foreach (ActivationStore store in _stores) store.Dispose();
        _stores.Clear();
    }

    private void Watch(LinearSlot slot)
    {
        ActivationStore? store = _stores.Find(free => free.Columns == slot.InFeatures && !_kept.ContainsValue(free));
        if (store is null)
        {
            store = stream.StoreWhereThereIsRoom(slot.InFeatures);
            if (store is null) return;
            _stores.Add(store);
        }
        _kept.Add(slot, store);
        slot.InputObserver = x => store.Write(_window, x);
    }
}
