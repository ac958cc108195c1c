using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>
/// Writes tensors row by row in the order that a GGUF architecture keeps them, such as q and k in interleaved rotary order. Whole rows move, and every block lies inside
/// one row.
/// </summary>
internal static class GgufRows
{
    private const float LargestHalf = 65504;

    /// <summary>Packs a quantized weight.</summary>
    public static void WriteQuantized(ICheckpoint source, string name, int heads, GgmlType type, GgufTensorSink sink)
    {
        QuantizedWeight weight = source.ReadQuantized(name)!;
        GgufBlockEncoder encoder = GgufBlockEncoder.For(weight, type);
        byte[] row = new byte[encoder.RowBytes];
        for (int i = 0; i < weight.OutFeatures; i++)
        {
            encoder.EncodeRow(Source(i, heads, weight.OutFeatures), row);
            sink.Write(row);
        }
    }

    /// <summary>Rounds a float tensor to a type.</summary>
    /// <exception cref="CheckpointException">A value is not finite or beyond the range of the type.</exception>
    public static void WriteFloats(ICheckpoint source, string name, int heads, float offset, GgmlType type, GgufTensorSink sink)
    {
        IReadOnlyList<int> shape = source.ShapeOf(name);
        float[] values = new float[shape.Aggregate(1, (product, size) => checked(product * size))];
        source.Read(name, values);
        if (offset != 0)
        {
            for (int i = 0; i < values.Length; i++) values[i] += offset;
        }
        Check(source, name, type, values);
        if (heads == 0)
        {
            sink.WriteSingles(values);
            return;
        }
        WriteInterleaved(values, shape[0], heads, sink);
    }

    /// <summary>Writes the rows of a matrix of q or k, or the elements of its bias, in interleaved order.</summary>
    public static void WriteInterleaved(ReadOnlySpan<float> values, int rows, int heads, GgufTensorSink sink)
    {
        int columns = values.Length / rows;
        for (int i = 0; i < rows; i++) sink.WriteSingles(values.Slice(Source(i, heads, rows) * columns, columns));
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

    private static int Source(int row, int heads, int rows) => heads == 0 ? row : RotaryRows.HalfSplitRow(row, rows / heads);
}
