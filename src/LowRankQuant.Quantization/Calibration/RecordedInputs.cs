using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// The inputs of a block's linears on a stream, kept from the pass that takes its windows through the block, so that who needs them later does not compute the block again.
/// They lie in memory while the budget of the stream lasts and on disk beyond it. Not kept are those of the first stage, which come from the block's input at hardly any cost,
/// those of experts, and those that neither memory nor disk has room for.
/// </summary>
public sealed class RecordedInputs : IDisposable
{
    private readonly Dictionary<LinearSlot, ActivationStore> _kept = [];
    private readonly ActivationStream _stream;
    private int _window;

    private RecordedInputs(ActivationStream stream) => _stream = stream;

    /// <summary>Takes all windows of a stream through a block, one by one; the stream then holds what comes out.</summary>
    /// <param name="stream">Windows in front of the block.</param>
    /// <param name="block">The block, without routers: they would send tokens elsewhere in another model.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static RecordedInputs Advance(ActivationStream stream, IDecoderBlock block, CancellationToken cancellation)
    {
        if (block.Routers.Count > 0) throw new ArgumentException($"{block.Name} has routers.", nameof(block));
        IReadOnlyList<InputStage> stages = InputStages.Find(block, () => stream.Look(block, 0, 1, (_, _) => { }, cancellation, batch: 1));
        var recorded = new RecordedInputs(stream);
        LinearSlot[] slots = [.. stages.Skip(1).Where(stage => stage.Sites.Count == 1).Select(stage => block.Slots[stage.Sites[0].First])];
        try
        {
            foreach (LinearSlot slot in slots) recorded.Watch(slot);
            stream.Advance(block, (window, _) => recorded._window = window + 1, cancellation, batch: 1);
            return recorded;
        }
        catch
        {
            recorded.Dispose();
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
        Tensor inputs = device.Empty(_stream.LengthOf(window), slot.InFeatures);
        _kept[slot].Read(window, inputs);
        return inputs;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ActivationStore store in _kept.Values) store.Dispose();
        _kept.Clear();
    }

    private void Watch(LinearSlot slot)
    {
        if (_stream.StoreWhereThereIsRoom(slot.InFeatures) is not { } store) return;
        _kept.Add(slot, store);
        slot.InputObserver = x => store.Write(_window, x);
    }
}
