using LowRankQuant.Models.Decoder.Layouts;

namespace LowRankQuant.Models.Families;

/// <summary>
/// Orders in which files hold the rows of a matrix, its columns, or the elements of a vector: entry i of an order is the model's number of what lies at i in the file. An order may
/// leave some out, which then lie elsewhere.
/// </summary>
internal static class RowOrders
{
    /// <summary>
    /// Pairs that rotate lie side by side (rows 2j and 2j + 1 of a head), where the model has them half of what rotates apart (rows j and j + rotated/2); the rest of a head follows as
    /// it is.
    /// </summary>
    /// <param name="rows">Rows, of all heads.</param>
    /// <param name="heads">Heads.</param>
    /// <param name="rotated">Rows of a head that rotate; the first.</param>
    public static int[] OfPairs(int rows, int heads, int rotated)
    {
        int size = rows / heads, half = rotated / 2;
        var order = new int[rows];
        for (int row = 0; row < rows; row++)
        {
            int within = row % size;
            order[row] = within >= rotated ? row : row - within + (within % 2 * half) + (within / 2);
        }
        return order;
    }

    /// <summary>
    /// Heads lie by their number within a group, where the model has those of a group together: of two groups of two, heads 0, 2, 1, 3.
    /// </summary>
    /// <param name="groups">Groups; divides the heads.</param>
    /// <param name="heads">Heads.</param>
    /// <param name="size">Rows of a head.</param>
    /// <param name="first">Rows in front, which lie as they are.</param>
    public static int[] OfHeads(int groups, int heads, int size, int first = 0)
    {
        int each = heads / groups;
        var order = new int[first + (heads * size)];
        for (int row = 0; row < first; row++) order[row] = row;
        for (int row = 0; row < heads * size; row++)
        {
            int head = row / size;
            order[first + row] = first + (((head % groups * each) + (head / groups)) * size) + (row % size);
        }
        return order;
    }

    /// <summary>Some rows of a matrix, pattern by pattern.</summary>
    public static int[] Of(params ReadOnlySpan<RowPattern> patterns)
    {
        var order = new List<int>();
        foreach (RowPattern pattern in patterns)
        {
            for (int row = 0; row < pattern.Count; row++) order.Add(pattern.Of(row));
        }
        return [.. order];
    }

    /// <summary>Where in the file the model's rows lie, of an order that leaves none out.</summary>
    public static int[] Inverse(int[] order)
    {
        var inverse = new int[order.Length];
        for (int i = 0; i < order.Length; i++) inverse[order[i]] = i;
        return inverse;
    }

    /// <summary>Brings the rows of a whole matrix from the file's order into the model's, in place.</summary>
    /// <param name="matrix">[rows, columns], row-major.</param>
    /// <param name="order">The order.</param>
    /// <param name="columns">Columns; 1 for a vector.</param>
    public static void ToModel(Span<float> matrix, int[] order, int columns)
    {
        float[] held = matrix.ToArray();
        for (int i = 0; i < order.Length; i++) held.AsSpan(i * columns, columns).CopyTo(matrix[(order[i] * columns)..]);
    }
}
