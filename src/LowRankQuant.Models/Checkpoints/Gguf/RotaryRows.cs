namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// Row order of query and key projections. Interleaved order keeps the two halves of a rotary pair side by side (rows 2j, 2j + 1 of a head), half-split
/// order keeps them half a head apart (rows j, j + headSize/2).
/// </summary>
internal static class RotaryRows
{
    /// <summary>Interleaved to half-split, in place: row 2j + i of a head becomes row i * headSize/2 + j.</summary>
    /// <param name="matrix">[rows, columns], row-major.</param>
    /// <param name="heads">Heads; divides rows.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns; 1 for a bias.</param>
    public static void ToHalfSplit(Span<float> matrix, int heads, int rows, int columns)
    {
        int headSize = rows / heads, half = headSize / 2;
        var head = new float[headSize * columns];
        for (int h = 0; h < heads; h++)
        {
            Span<float> target = matrix.Slice(h * headSize * columns, headSize * columns);
            target.CopyTo(head);
            for (int j = 0; j < half; j++)
            {
                for (int i = 0; i < 2; i++)
                    head.AsSpan(((2 * j) + i) * columns, columns).CopyTo(target[(((i * half) + j) * columns)..]);
            }
        }
    }

    /// <summary>The row in half-split order that is row <paramref name="row"/> in interleaved order.</summary>
    /// <param name="row">Row of the whole matrix, counted over all heads.</param>
    /// <param name="headSize">Rows of a head.</param>
    public static int HalfSplitRow(int row, int headSize)
    {
        int within = row % headSize;
        return row - within + ((within % 2) * (headSize / 2)) + (within / 2);
    }
}
