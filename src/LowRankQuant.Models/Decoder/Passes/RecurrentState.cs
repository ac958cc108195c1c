using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Passes;

/// <summary>
/// What a recurrent mixer remembers of one sequence: tensors whose size does not depend on its length. It cannot be cut back to an earlier position as keys and values can, so
/// the state in front of a pass is kept beside the one behind it, and inside a pass also those at positions that later rows of it go back to.
/// </summary>
internal sealed class RecurrentState : IMixerState
{
    private readonly Device _device;
    private readonly (int Rows, int Columns)[] _shapes;
    private Tensor[] _front, _behind;
    // No position of the front: nothing has passed yet.
    private int _frontPosition = -1, _position;

    /// <summary>The state of a sequence at its start.</summary>
    /// <param name="device">Where the blocks are.</param>
    /// <param name="shapes">Shapes of the tensors.</param>
    public RecurrentState(Device device, params (int Rows, int Columns)[] shapes)
    {
        _device = device;
        _shapes = shapes;
        _front = Rent();
        _behind = Rent();
    }

    /// <summary>What a state takes.</summary>
    /// <param name="shapes">Shapes of its tensors.</param>
    public static StateSize SizeOf(params (int Rows, int Columns)[] shapes) => new(2 * sizeof(float) * shapes.Sum(shape => (long)shape.Rows * shape.Columns), 0);

    /// <summary>Takes the rows of a pass in runs that are computed from one state to the next, in order.</summary>
    /// <param name="rows">See <see cref="LaneWork"/>.</param>
    /// <param name="compute">
    /// Given the first row, how many, the tensors of the state in front of them (null at the start of the sequence, where all are zero), and those that receive the state behind
    /// them, which may be the same.
    /// </param>
    /// <exception cref="InvalidOperationException">Rows go back to a position whose state is not kept.</exception>
    public void Pass(IReadOnlyList<LaneRows> rows, Action<int, int, Tensor[]?, Tensor[]> compute)
    {
        Begin(rows[0].Position);
        // States of the branch that is computed, by position.
        var kept = new SortedDictionary<int, Tensor[]>();
        try
        {
            for (int i = 0; i < rows.Count; i++)
            {
                (int row, int length, int position) = rows[i];
                foreach (int deeper in kept.Keys.Where(key => key > position).ToArray()) Drop(kept, deeper);
                Tensor[]? state = At(position, kept);
                for (int done = 0; done < length;)
                {
                    int end = NextReturn(rows, i, position + done) ?? position + length;
                    bool returns = IsReturnedTo(rows, i, end);
                    Tensor[] next = returns ? kept[end] = Rent() : _behind;
                    compute(row + done, end - position - done, state, next);
                    done = end - position;
                    (state, _position) = (next, end);
                }
                if (state is not null && state != _behind) Copy(state, _behind);
            }
        }
        finally
        {
            foreach (int position in kept.Keys.ToArray()) Drop(kept, position);
        }
    }

    /// <inheritdoc/>
    public void CopyFrom(IMixerState other, int positions)
    {
        var from = (RecurrentState)other;
        if (positions != 0) Copy(positions == from._position ? from._behind : positions == from._frontPosition ? from._front : throw NotKept(positions), _behind);
        (_position, _frontPosition) = (positions, -1);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor tensor in _front.Concat(_behind)) tensor.Dispose();
    }

    private void Begin(int position)
    {
        if (position == _frontPosition) return;
        if (position != 0 && position != _position) throw NotKept(position);
        (_front, _behind, _frontPosition) = (_behind, _front, position);
    }

    private Tensor[]? At(int position, SortedDictionary<int, Tensor[]> kept) => position == 0 ? null
        : kept.TryGetValue(position, out Tensor[]? state) ? state
        : position == _frontPosition ? _front
        : throw NotKept(position);

    // The first position behind one, within the rows that stand there, to which later rows of the same branch go back.
    private static int? NextReturn(IReadOnlyList<LaneRows> rows, int number, int behind)
    {
        int end = rows[number].Position + rows[number].Length, nearest = int.MaxValue;
        for (int i = number + 1; i < rows.Count && rows[i].Position > rows[number].Position; i++)
        {
            if (rows[i].Position > behind && rows[i].Position <= end) nearest = Math.Min(nearest, rows[i].Position);
        }
        return nearest == int.MaxValue ? null : nearest;
    }

    private static bool IsReturnedTo(IReadOnlyList<LaneRows> rows, int number, int position)
    {
        for (int i = number + 1; i < rows.Count && rows[i].Position > rows[number].Position; i++)
        {
            if (rows[i].Position == position) return true;
        }
        return false;
    }

    private static InvalidOperationException NotKept(int position) => new($"The state of a recurrent mixer at position {position} is not kept.");

    private void Copy(Tensor[] from, Tensor[] to)
    {
        for (int i = 0; i < from.Length; i++) _device.Kernels.Copy(from[i], to[i]);
    }

    private Tensor[] Rent() => [.. _shapes.Select(shape => _device.Empty(shape.Rows, shape.Columns))];

    private static void Drop(SortedDictionary<int, Tensor[]> kept, int position)
    {
        kept.Remove(position, out Tensor[]? state);
        foreach (Tensor tensor in state!) tensor.Dispose();
    }
}

/// <summary>The states of several mixers of one block.</summary>
/// <param name="parts">One a mixer.</param>
internal sealed class JointState(params IMixerState[] parts) : IMixerState
{
    /// <summary>One a mixer.</summary>
    public IReadOnlyList<IMixerState> Parts => parts;

    /// <inheritdoc/>
    public void CopyFrom(IMixerState other, int positions)
    {
        for (int i = 0; i < parts.Length; i++) parts[i].CopyFrom(((JointState)other).Parts[i], positions);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IMixerState part in parts) part.Dispose();
    }
}
