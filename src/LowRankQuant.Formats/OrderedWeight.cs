using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats;

/// <summary>
/// A quantized weight whose groups are not runs of neighbouring columns (activation order): the columns of <see cref="Weight"/> are sorted by group,
/// so that its grid is an ordinary one, and <see cref="Columns"/> says where each belongs.
/// </summary>
/// <param name="Weight">Codes with the columns of a group side by side, scales and zero points.</param>
/// <param name="Columns">The model's column of every column of <paramref name="Weight"/>; null in natural order.</param>
public sealed record OrderedWeight(UniformWeight Weight, int[]? Columns)
{
    /// <summary>The group of every column of the model: what files call <c>g_idx</c>.</summary>
    public int[] GroupIndex()
    {
        var groups = new int[Weight.InFeatures];
        for (int j = 0; j < groups.Length; j++) groups[Columns is null ? j : Columns[j]] = j / Weight.EffectiveGroupSize;
        return groups;
    }

    /// <summary>Codes in the model's column order, [out, in].</summary>
    public byte[] CodesInModelOrder()
    {
        if (Columns is null) return Weight.Codes;
        var codes = new byte[Weight.Codes.Length];
        Scatter<byte>(Weight.Codes, codes);
        return codes;
    }

    /// <summary>Writes (code - zero) * scale in 32-bit floats, columns in the model's order.</summary>
    /// <param name="destination">[out, in].</param>
    public void Dequantize(Span<float> destination)
    {
        Weight.Dequantize(destination);
        if (Columns is not null) Scatter<float>(destination.ToArray(), destination);
    }

    /// <summary>Sorts the columns of a weight by group.</summary>
    /// <param name="codes">Codes in the model's column order, [out, in].</param>
    /// <param name="groups">Group of every column.</param>
    /// <param name="grid">Grid of the sorted weight.</param>
    /// <param name="create">From codes with sorted columns to a weight.</param>
    /// <returns>The weight, or null when the groups do not have the grid's size each.</returns>
    internal static OrderedWeight? FromGroups(byte[] codes, int[] groups, UniformGrid grid, Func<byte[], UniformWeight> create)
    {
        int columns = groups.Length, size = grid.Granularity == Granularity.Group ? grid.GroupSize : columns;
        if (IsNatural(groups, size)) return new OrderedWeight(create(codes), null);
        var order = new int[columns];
        var filled = new int[columns / size];
        for (int column = 0; column < columns; column++)
        {
            int group = groups[column];
            if ((uint)group >= (uint)filled.Length || filled[group] == size) return null;
            order[(group * size) + filled[group]++] = column;
        }
        var sorted = new byte[codes.Length];
        for (int start = 0; start < codes.Length; start += columns)
        {
            for (int j = 0; j < columns; j++) sorted[start + j] = codes[start + order[j]];
        }
        return new OrderedWeight(create(sorted), order);
    }

    private static bool IsNatural(int[] groups, int size)
    {
        for (int j = 0; j < groups.Length; j++)
        {
            if (groups[j] != j / size && groups[j] != -1) return false; // -1: compressed-tensors' mark for "no order"
        }
        return true;
    }

    private void Scatter<T>(ReadOnlySpan<T> sorted, Span<T> model)
    {
        int columns = Weight.InFeatures;
        for (int start = 0; start < sorted.Length; start += columns)
        {
            for (int j = 0; j < columns; j++) model[start + Columns![j]] = sorted[start + j];
        }
    }
}
