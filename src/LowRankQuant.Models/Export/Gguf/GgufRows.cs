using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>
/// Writes tensors of a model as a GGUF architecture holds them: rows in its order, such as q and k in interleaved rotary order, some rows of a tensor only, columns in its order,
/// matrices turned. Whole rows move, and every block lies inside one row.
/// </summary>
internal static class GgufRows
{
    private const float LargestHalf = 65504;

    /// <summary>A quantized weight as the file has it, but for the order of its rows; null where columns or factors of the architecture are none that its grid takes.</summary>
    public static QuantizedWeight? InFile(QuantizedWeight weight, GgufPart part)
    {
        QuantizedWeight? held = part.ColumnOrder is { } columns ? weight.SelectColumns(columns) : weight;
        return part.Factor is { } factor ? held?.ScaleRows(factor) : held;
    }

    /// <summary>Packs a quantized weight.</summary>
    public static void WriteQuantized(ICheckpoint source, string name, GgufPart part, GgmlType type, GgufTensorSink sink)
    {
        GgufBlockEncoder encoder = GgufBlockEncoder.For(InFile(source.ReadQuantized(name)!, part)!, type);
        byte[] row = new byte[encoder.RowBytes];
        int count = part.Count;
        for (int i = 0; i < count; i++)
        {
            encoder.EncodeRow(part.Rows?[i] ?? i, row);
            sink.Write(row);
        }
    }

    /// <summary>Rounds a float tensor to a type.</summary>
    /// <exception cref="CheckpointException">A value is not finite or beyond the range of the type.</exception>
    public static void WriteFloats(ICheckpoint source, string name, GgufPart part, GgmlType type, GgufTensorSink sink)
    {
        int columns = part.Columns;
        float[] values = new float[checked(part.SpecRows * columns)];
        source.Read(name, values);
        if (part.Alters)
        {
            for (int i = 0; i < values.Length; i++) values[i] = part.ToFile(values[i]);
        }
        if (part.Factor is { } factor)
        {
            for (int i = 0; i < values.Length; i++) values[i] *= factor(i / columns);
        }
        Check(source, name, type, values);
        if (part.Turned > 0) WriteTurned(values, part, sink);
        else if (part.Rows is null && part.ColumnOrder is null) sink.WriteSingles(values);
        else WriteOrdered(values, part.Rows, part.ColumnOrder, columns, sink);
    }

    /// <summary>Writes the rows of a matrix, or the elements of a vector, in the order of the file.</summary>
    /// <param name="values">[rows, columns], row-major.</param>
    /// <param name="rows">The model's row of every row in the file; null for the same.</param>
    /// <param name="columnOrder">The same of columns.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="sink">Receives them.</param>
    public static void WriteOrdered(ReadOnlySpan<float> values, int[]? rows, int[]? columnOrder, int columns, GgufTensorSink sink)
    {
        var row = new float[columns];
        for (int i = 0; i < (rows?.Length ?? values.Length / columns); i++)
        {
            ReadOnlySpan<float> source = values.Slice((rows?[i] ?? i) * columns, columns);
            if (columnOrder is null)
            {
                sink.WriteSingles(source);
                continue;
            }
            for (int column = 0; column < columns; column++) row[column] = source[columnOrder[column]];
            sink.WriteSingles(row);
        }
    }

    /// <summary>Refuses what a type cannot hold.</summary>
    public static void Check(ICheckpoint source, string name, GgmlType type, ReadOnlySpan<float> values)
    {
        // Blocks have halves as scales, so the same bound serves them.
        float largest = type is GgmlType.F32 or GgmlType.BF16 ? float.MaxValue : LargestHalf;
        foreach (float value in values)
        {
            if (!(Math.Abs(value) <= largest))
                throw new CheckpointException($"{source.Location}: tensor '{name}' holds {value}, which does not fit {type}; {(float.IsFinite(value) ? "choose BF16 or F32" : "every value must be finite")}.");
        }
    }

    private static void WriteTurned(float[] values, GgufPart part, GgufTensorSink sink)
    {
        int columns = part.Columns, rows = part.Turned;
        var matrix = new float[rows * columns];
        for (int first = 0; first < part.Count; first += rows)
        {
            for (int row = 0; row < rows; row++)
            {
                int from = (part.Rows?[first + row] ?? first + row) * columns;
                for (int column = 0; column < columns; column++) matrix[(column * rows) + row] = values[from + column];
            }
            sink.WriteSingles(matrix);
        }
    }
}
