using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;

namespace LowRankQuant.Models.Decoder;

/// <summary>
/// From token ids to the input of block 0: a row of the table for each, times a factor, projected where the table is narrower than the stream, plus a row for its
/// position, normalised, whatever of these a family has. Also makes the inputs that every block gets for itself, where a family has them.
/// </summary>
public sealed class InputEmbedding : IDisposable
{
    /// <summary>[vocabulary, width]; owned.</summary>
    public required Tensor Table { get; init; }

    /// <summary>Multiplies the rows.</summary>
    public float Factor { get; init; } = 1;

    /// <summary>Columns of the stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>[hidden, width], or null where the width is the stream's.</summary>
    internal Tensor? Projection { get; init; }

    /// <summary>[positions + offset, hidden] of learned positions, or null.</summary>
    internal Tensor? Positions { get; init; }

    /// <summary>The row of position 0.</summary>
    internal int PositionOffset { get; init; }

    /// <summary>Of the sum, or null.</summary>
    internal INorm? Norm { get; init; }

    /// <summary>Makes the blocks' own inputs; null for none.</summary>
    internal PerLayerEmbedding? PerLayer { get; init; }

    /// <summary>What else it owns.</summary>
    internal IDisposable? Parts { get; init; }

    /// <summary>Columns of all blocks' own inputs together; 0 for none.</summary>
    public int PerLayerColumns => PerLayer?.Columns ?? 0;

    /// <summary>The input of block 0.</summary>
    /// <param name="ids">One token a row.</param>
    /// <param name="destination">[ids, hidden].</param>
    /// <param name="positions">One a row; empty for 0, 1, 2 and so on.</param>
    /// <exception cref="CheckpointException">An id is not in the vocabulary.</exception>
    public void Embed(ReadOnlySpan<int> ids, Tensor destination, ReadOnlySpan<int> positions = default)
    {
        for (int i = 0; i < ids.Length; i++)
        {
            if ((uint)ids[i] >= (uint)Table.Rows)
                throw new CheckpointException($"Token id {ids[i]} (position {i}) is beyond the vocabulary of {Table.Rows}: text or ids belong to another tokenizer.");
        }
        Device device = Table.Device;
        if (Factor == 1 && Projection is null && Positions is null && Norm is null)
        {
            device.Kernels.EmbeddingForward(Table, ids, destination);
            return;
        }
        using var tape = new Tape(device, recording: false);
        Tensor rows = tape.Rent(ids.Length, Table.Columns);
        device.Kernels.EmbeddingForward(Table, ids, rows);
        var x = new Variable(rows);
        if (Factor != 1) x = tape.Scale(x, Factor);
        if (Projection is not null) x = tape.Linear(x, new Variable(Projection));
        if (Positions is not null) x = tape.Add(x, new Variable(PositionRows(tape, ids.Length, positions)));
        if (Norm is not null) x = Norm.Apply(tape, x);
        device.Kernels.Copy(x.Value, destination);
    }

    /// <summary>The blocks' own inputs, those of block i in columns i * n to (i + 1) * n.</summary>
    /// <param name="ids">One token a row.</param>
    /// <param name="x">The input of block 0, [ids, hidden].</param>
    /// <param name="destination">[ids, <see cref="PerLayerColumns"/>].</param>
    public void EmbedPerLayer(ReadOnlySpan<int> ids, Tensor x, Tensor destination) => PerLayer!.Embed(ids, x, destination);

    /// <summary>Why what the embedding gives cannot be rotated; null where it can.</summary>
    public string? RotationObstacle =>
        Norm is not null ? "a norm stands behind the embedding"
        : Projection is not null || Positions is not null ? "the embedding adds positions or is projected"
        : PerLayer is not null ? "the embedding also makes the blocks' own inputs"
        : null;

    /// <summary>Rotates the table's rows, E Q, so that block 0 gets x Q.</summary>
    /// <param name="rotation">Q, of the stream's channels.</param>
    /// <param name="rounding">To the digits that are stored; null for all digits.</param>
    /// <exception cref="InvalidOperationException">There is a <see cref="RotationObstacle"/>.</exception>
    public void RotateStream(IChannelRotation rotation, Func<float, float>? rounding = null)
    {
        if (RotationObstacle is not null) throw new InvalidOperationException($"The embedding cannot be rotated: {RotationObstacle}.");
        Rotations.Columns(Table, rotation, null, rounding);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Table.Dispose();
        Parts?.Dispose();
    }

    private Tensor PositionRows(Tape tape, int count, ReadOnlySpan<int> positions)
    {
        var rows = new int[count];
        for (int i = 0; i < count; i++)
        {
            rows[i] = (positions.IsEmpty ? i : positions[i]) + PositionOffset;
            if (rows[i] >= Positions!.Rows)
                throw new CheckpointException($"Position {rows[i] - PositionOffset} is beyond the model's {Positions.Rows - PositionOffset} learned positions; use shorter windows.");
        }
        Tensor table = tape.Rent(count, HiddenSize);
        Table.Device.Kernels.EmbeddingForward(Positions!, rows, table);
        return table;
    }
}

/// <summary>
/// Gemma 3n and 4: with x0 the input of block 0, t = table[id] * tokenFactor and c = norm(x0 P^T * projectionFactor), the norm over every block's n columns by
/// itself, the blocks' inputs are (c + t) / sqrt(2).
/// </summary>
internal sealed class PerLayerEmbedding
{
    /// <summary>[vocabulary, layers * n].</summary>
    public required Tensor Table { get; init; }

    /// <summary>[layers * n, hidden].</summary>
    public required Tensor Projection { get; init; }

    /// <summary>Of n columns.</summary>
    public required INorm Norm { get; init; }

    /// <summary>Multiplies rows of the table.</summary>
    public required float TokenFactor { get; init; }

    /// <summary>Multiplies what is projected.</summary>
    public required float ProjectionFactor { get; init; }

    /// <summary>layers * n.</summary>
    public int Columns => Table.Columns;

    /// <summary>The inputs, [ids, columns].</summary>
    public void Embed(ReadOnlySpan<int> ids, Tensor x, Tensor destination)
    {
        using var tape = new Tape(Table.Device, recording: false);
        Variable projected = tape.Scale(tape.Linear(new Variable(x), new Variable(Projection)), ProjectionFactor);
        Tensor rows = tape.Rent(ids.Length, Columns);
        Table.Device.Kernels.EmbeddingForward(Table, ids, rows);
        Variable sum = tape.Add(Norm.Apply(tape, projected), tape.Scale(new Variable(rows), TokenFactor));
        Table.Device.Kernels.Copy(tape.Scale(sum, (float)(1 / Math.Sqrt(2))).Value, destination);
    }
}
