using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>Reads tensors of a model that lie in stored tensors of other names, see <see cref="StoredView"/>.</summary>
/// <param name="contents">The folder.</param>
internal sealed class ViewedTensors(FolderContents contents)
{
    /// <summary>Looks whether the stored tensor is there in the shape that the view needs.</summary>
    /// <exception cref="CheckpointException">It is not.</exception>
    public void Check(StoredView view)
    {
        IReadOnlyList<int> shape = contents.ShapeOf(view.Stored);
        // A quantized linear is stored output by output, whatever its floats would be.
        IReadOnlyList<int> expected = contents.Quantized(view.Stored) is not null && view.Transposed ? [view.Columns, view.Rows] : view.StoredShape;
        if (shape.SequenceEqual(expected)) return;
        throw new CheckpointException(
            $"{contents.Location}: tensor '{view.Stored}' has shape [{string.Join(", ", shape)}]; the configuration asks for [{string.Join(", ", expected)}].");
    }

    /// <summary>Reads as floats.</summary>
    /// <param name="view">Where it lies.</param>
    /// <param name="destination">As large as what is taken.</param>
    public void Read(StoredView view, Span<float> destination)
    {
        int count = view.Pattern.Count, columns = view.TakenColumns;
        if (view.IsMxfp4)
        {
            Mxfp4Rows.Read(contents, view, destination);
            return;
        }
        if (contents.Quantized(view.Stored) is not null)
        {
            var all = new float[(long)view.Rows * view.Columns];
            contents.Read(view.Stored, all);
            for (int row = 0; row < count; row++) all.AsSpan(view.Pattern.Of(row) * columns, columns).CopyTo(destination[(row * columns)..]);
            return;
        }
        if (!view.Transposed)
        {
            for (int row = 0; row < count;)
            {
                int run = view.Pattern.IsRange ? count : Math.Min(view.Pattern.Run, count - row);
                contents.Stored.ReadSingles(view.Stored, destination.Slice(row * columns, run * columns), view.ElementOf(row, 0));
                row += run;
            }
            return;
        }
        var matrix = new float[(long)view.Rows * view.Columns];
        contents.Stored.ReadSingles(view.Stored, matrix, view.Offset);
        for (int row = 0; row < count; row++)
        {
            int taken = view.Pattern.Of(row);
            for (int column = 0; column < columns; column++) destination[(row * columns) + column] = matrix[(column * view.Columns) + taken];
        }
    }

    /// <summary>Codes of the rows that are taken; null where the stored tensor is not quantized.</summary>
    public QuantizedWeight? ReadQuantized(StoredView view) => contents.Quantized(view.Stored) is { } module
        ? contents.Container!.ReadQuantized(module) is { HasRowsApart: true } whole ? whole.SelectRows(view.Pattern.Count, view.Pattern.Of) : null
        : null;

    /// <summary>As <see cref="ReadQuantized"/>, with columns in another order too.</summary>
    public OrderedWeight? ReadOrdered(StoredView view) => contents.Quantized(view.Stored) is { } module && contents.Container!.Read(module) is { } whole
        ? whole with { Weight = whole.Weight.SelectRows(view.Pattern.Count, view.Pattern.Of) }
        : null;

    /// <summary>The part of the stored bits that belongs to what is taken.</summary>
    public long StoredBits(StoredView view)
    {
        long all = contents.Quantized(view.Stored) is { } module ? contents.Container!.StoredBitsOf(module) : 8 * contents.Stored.Tensors[view.Stored].ByteLength;
        long stored = view.StoredShape.Aggregate(1L, (product, size) => product * size), taken = (long)view.Pattern.Count * view.TakenColumns;
        if (view.IsMxfp4)
        {
            all += 8 * contents.Stored.Tensors[view.Mxfp4Scales].ByteLength;
            // Two codes a byte.
            stored *= 2;
        }
        return (long)((Int128)all * taken / stored);
    }
}
