using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Linears;

/// <summary>
/// The tensors of a block by the names under which they are stored, and which of them no longer are what was loaded: norms, biases and routers as well as the
/// weights in the slots.
/// </summary>
/// <param name="blockName">Name of the block, which stands in front of all names; empty for none.</param>
/// <param name="workers">Threads for work on weights by the processor.</param>
internal sealed class BlockTensors(string blockName, WorkerPool workers)
{
    private readonly Dictionary<Tensor, (string Name, float Offset)> _stored = [];
    private readonly Dictionary<string, LinearSlot> _slots = new(StringComparer.Ordinal);
    private readonly Dictionary<LinearSlot, string> _weights = [];
    private readonly HashSet<Tensor> _changed = [];
    private readonly HashSet<LinearSlot> _changedSlots = [];

    /// <summary>Name of the block.</summary>
    public string BlockName => blockName;

    /// <summary>Threads for work on weights by the processor.</summary>
    public WorkerPool Workers => workers;

    /// <summary>From a tensor's name and a value to the value as it will be stored; null where all digits are.</summary>
    public Func<string, float, float>? Rounding { get; set; }

    /// <summary>Notes a tensor.</summary>
    /// <param name="tensor">As it is in memory.</param>
    /// <param name="name">Its full name.</param>
    public void Add(Tensor tensor, string name) => _stored[tensor] = (name, 0);

    /// <summary>Notes a linear.</summary>
    /// <param name="slot">The linear.</param>
    /// <param name="module">Its full name, without <c>.weight</c>.</param>
    public void Add(LinearSlot slot, string module)
    {
        _slots[$"{module}.weight"] = slot;
        _weights[slot] = $"{module}.weight";
    }

    /// <summary>Says that a tensor in memory is what is stored plus a number.</summary>
    public void SetOffset(Tensor tensor, float offset) => _stored[tensor] = (_stored[tensor].Name, offset);

    /// <summary>The name under which a tensor is stored; null for one that is not.</summary>
    public string? NameOf(Tensor tensor) => _stored.TryGetValue(tensor, out (string Name, float Offset) found) ? found.Name : null;

    /// <summary>What is added to a tensor when it is loaded.</summary>
    public float OffsetOf(Tensor tensor) => _stored[tensor].Offset;

    /// <summary>Gives a tensor other values, as they are to be stored; in memory they have the digits that are stored.</summary>
    public void Write(Tensor tensor, float[] stored, FoldUndo? undo)
    {
        (string name, float offset) = _stored[tensor];
        if (Rounding is { } rounding) stored = Array.ConvertAll(stored, value => rounding(name, value));
        float[] before = tensor.ToArray();
        bool first = _changed.Add(tensor);
        undo?.Add(() =>
        {
            tensor.CopyFrom(before);
            if (first) _changed.Remove(tensor);
        });
        tensor.CopyFrom(offset == 0 ? stored : Array.ConvertAll(stored, value => value + offset));
    }

    /// <summary>
    /// Changes the values of a weight in a slot: at once, or, where they are paged, whenever they become floats. One that stays in its own type has the digits that are stored.
    /// </summary>
    /// <param name="slot">The slot.</param>
    /// <param name="change">Given the values [outFeatures, inFeatures]; the same change each time.</param>
    /// <param name="undo">Takes the old weight; null where it is to be freed.</param>
    /// <exception cref="InvalidOperationException">The weight is no floats, such as one that is being trained.</exception>
    public void Change(LinearSlot slot, Action<float[]> change, FoldUndo? undo)
    {
        if (slot.IsKept && Rounding is { } rounding)
        {
            (string name, Action<float[]> exact) = (_weights[slot], change);
            change = values =>
            {
                exact(values);
                for (int i = 0; i < values.Length; i++) values[i] = rounding(name, values[i]);
            };
        }
        IWeightSource changed;
        switch (slot.Weight)
        {
            case DenseWeight dense:
                float[] values = dense.ToArray();
                change(values);
                changed = new DenseWeight(dense.Value.Device.From(values, slot.OutFeatures, slot.InFeatures));
                break;
            case PagedWeight paged:
                changed = paged.Changed(change);
                break;
            default:
                throw new InvalidOperationException($"{slot.Name}: a {slot.Weight.GetType().Name} cannot be scaled or rotated; transforms come before methods.");
        }
        IWeightSource old = slot.Exchange(changed);
        bool first = _changedSlots.Add(slot);
        if (undo is null)
        {
            old.Dispose();
            return;
        }
        undo.Add(() =>
        {
            slot.Exchange(old).Dispose();
            if (first) _changedSlots.Remove(slot);
        });
    }

    /// <summary>What is stored of a tensor as it is now.</summary>
    public float[] Stored(Tensor tensor)
    {
        float offset = OffsetOf(tensor);
        float[] values = tensor.ToArray();
        return offset == 0 ? values : Array.ConvertAll(values, value => value - offset);
    }

    /// <summary>What changed so far.</summary>
    /// <param name="weights">Whether the weights in slots are among it; those that stay in their own type always are.</param>
    public ChangedTensors Changes(bool weights)
    {
        var changes = new ChangedTensors();
        foreach (Tensor tensor in _changed) changes.Add(NameOf(tensor)!, Stored(tensor));
        foreach ((string name, LinearSlot slot) in _slots.Where(pair => _changedSlots.Contains(pair.Value) && (weights || pair.Value.IsKept))) changes.Add(name, slot.WeightValues());
        return changes;
    }

    /// <summary>Takes over what changed of another instance of the same block.</summary>
    public void Take(ChangedTensors changes)
    {
        foreach ((Tensor tensor, (string name, _)) in _stored)
        {
            if (changes.Contains(name)) Write(tensor, changes.Read(name), null);
        }
        foreach ((string name, LinearSlot slot) in _slots)
        {
            if (changes.Contains(name)) Change(slot, values => changes.Read(name).CopyTo(values, 0), null);
        }
    }
}

/// <summary>Brings back, bit for bit, what transforms changed that were applied with it; in the reverse order, when it is disposed of.</summary>
public sealed class FoldUndo : IDisposable
{
    private readonly Stack<Action> _actions = [];

    internal void Add(Action action) => _actions.Push(action);

    /// <inheritdoc/>
    public void Dispose()
    {
        while (_actions.TryPop(out Action? action)) action();
    }
}

/// <summary>
/// Tensors that a transform changed, by their names in the model, with values as a checkpoint of the family stores them: a norm that applies (1 + w) as w, a part of a
/// fused projection by itself. Writers take them from here and not from the source; a <see cref="Checkpoints.ChangedCheckpoint"/> reads so.
/// </summary>
public sealed class ChangedTensors
{
    private readonly SortedDictionary<string, Func<float[]>> _values = new(StringComparer.Ordinal);

    /// <summary>Their names, in order.</summary>
    public IReadOnlyCollection<string> Names => _values.Keys;

    /// <summary>Whether a tensor is among them.</summary>
    public bool Contains(string name) => _values.ContainsKey(name);

    /// <summary>The values of a tensor.</summary>
    /// <exception cref="KeyNotFoundException">It is not among them.</exception>
    public float[] Read(string name) => _values[name]();

    /// <summary>Adds a tensor, or gives it other values.</summary>
    public void Add(string name, float[] values) => _values[name] = () => values;

    /// <summary>Adds a large tensor that is made when it is asked for, the same values each time.</summary>
    public void Add(string name, Func<float[]> values) => _values[name] = values;

    /// <summary>Adds all of another.</summary>
    public void Add(ChangedTensors other)
    {
        foreach ((string name, Func<float[]> values) in other._values) _values[name] = values;
    }
}
