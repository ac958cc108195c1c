namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// What every method produces and every format stores: integer codes, what turns them into floats exactly as stored, and optionally a low-rank branch.
/// Never holds floats that a writer could round again. <see cref="UniformWeight"/>, <see cref="AffineWeight"/>, <see cref="TwoLevelWeight"/> and <see cref="FloatWeight"/> are the kinds there are.
/// </summary>
public abstract class QuantizedWeight
{
    /// <summary>Checks what all kinds share.</summary>
    /// <exception cref="ArgumentException">The grid does not fit the rows, a length does not fit, or a code is out of range.</exception>
    private protected QuantizedWeight(int outFeatures, int inFeatures, WeightGrid grid, byte[] codes, LowRankBranch? branch)
    {
        if (outFeatures < 0 || inFeatures < 0) throw new ArgumentException($"A matrix of {outFeatures} x {inFeatures}.", nameof(outFeatures));
        if (!grid.Divides(inFeatures)) throw new ArgumentException($"The grid {grid} does not divide a row of {inFeatures}.", nameof(grid));
        if (codes.LongLength != (long)outFeatures * inFeatures) throw new ArgumentException($"{codes.LongLength} codes for {outFeatures} x {inFeatures}.", nameof(codes));
        if (grid.Bits < 8 && codes.AsSpan().ContainsAnyExceptInRange((byte)0, (byte)grid.MaxCode)) throw new ArgumentException($"A code exceeds {grid.MaxCode}.", nameof(codes));
        if (branch is not null && (branch.A.LongLength != (long)branch.Rank * inFeatures || branch.B.LongLength != (long)branch.Rank * outFeatures))
            throw new ArgumentException($"A branch of rank {branch.Rank} with {branch.A.Length} and {branch.B.Length} elements for {outFeatures} x {inFeatures}.", nameof(branch));
        OutFeatures = outFeatures;
        InFeatures = inFeatures;
        Codes = codes;
        Branch = branch;
    }

    /// <summary>Rows.</summary>
    public int OutFeatures { get; }

    /// <summary>Columns.</summary>
    public int InFeatures { get; }

    /// <summary>The grid.</summary>
    public abstract WeightGrid Grid { get; }

    /// <summary>The stored type of the scales.</summary>
    public abstract ScaleType ScaleType { get; }

    /// <summary>Unsigned codes, row-major [out, in].</summary>
    public byte[] Codes { get; }

    /// <summary>Low-rank branch added to the dequantized weight, or null.</summary>
    public LowRankBranch? Branch { get; }

    /// <summary>Writes the value of every code, evaluated in 32-bit floats as engines do, into <paramref name="destination"/> [out, in]; the branch is not added.</summary>
    /// <exception cref="ArgumentException">The length does not fit.</exception>
    public void Dequantize(Span<float> destination)
    {
        if (destination.Length != Codes.Length) throw new ArgumentException("The destination must hold out x in floats.", nameof(destination));
        WriteValues(destination);
    }

    /// <summary>The weight as the model computes with it: <see cref="Dequantize"/>, plus the branch where there is one.</summary>
    /// <param name="destination">[out, in].</param>
    public void Reconstruct(Span<float> destination)
    {
        Dequantize(destination);
        Branch?.AddTo(destination);
    }

    /// <summary>Where the values of the codes of a row and group end; the branch has no part in it.</summary>
    /// <param name="row">The row.</param>
    /// <param name="group">The group within the row, of <see cref="WeightGrid.GroupsPerRow"/>.</param>
    public abstract CodeRange RangeOf(int row, int group);

    /// <summary>The same codes and scales with another branch, or without one.</summary>
    public abstract QuantizedWeight WithBranch(LowRankBranch? branch);

    /// <summary>Whether every row has scales of its own, or all have the same, so that some can be taken alone.</summary>
    public virtual bool HasRowsApart => true;

    /// <summary>A weight of some of the rows, with their codes and scales; without a branch.</summary>
    /// <param name="count">How many.</param>
    /// <param name="rowOf">The number here of row i there.</param>
    public abstract QuantizedWeight SelectRows(int count, Func<int, int> rowOf);

    /// <summary>
    /// The weight with its columns in another order, without a branch; null where columns that share a scale would share none, or those that share none would.
    /// </summary>
    /// <param name="columnOf">The number here of column i there; every column once.</param>
    public abstract QuantizedWeight? SelectColumns(int[] columnOf);

    /// <summary>The weight with every row times a number, without a branch; null where a scale is rounded by that.</summary>
    /// <param name="factorOf">The factor of a row, not 0.</param>
    public abstract QuantizedWeight? ScaleRows(Func<int, float> factorOf);

    /// <summary>One weight of the rows of several, without branches; null where they lie on different grids or share a scale over all rows.</summary>
    /// <param name="rows">Rows of the whole.</param>
    /// <param name="parts">The weights, and the number in the whole of row i of each.</param>
    public static QuantizedWeight? JoinRows(int rows, IReadOnlyList<(QuantizedWeight Weight, Func<int, int> RowOf)> parts)
    {
        QuantizedWeight first = parts[0].Weight;
        if (parts.Any(part => part.Weight.Grid != first.Grid || part.Weight.ScaleType != first.ScaleType || part.Weight.GetType() != first.GetType())) return null;
        return first.Grid.SharesScalesBetweenRows ? null : first.Join(rows, parts);
    }

    /// <summary>Stored bits: codes, scales, zero points or minima, and the branch.</summary>
    public long StoredBits => Grid.StoredBits(OutFeatures, InFeatures, ScaleType) + (Branch?.StoredBits ?? 0);

    /// <summary>Stored bits per weight.</summary>
    public double BitsPerWeight => (double)StoredBits / Codes.LongLength;

    private protected static T[] Rows<T>(T[] values, int rows, int count, Func<int, int> rowOf)
    {
        int perRow = values.Length / rows;
        var taken = new T[(long)count * perRow];
        for (int i = 0; i < count; i++) Array.Copy(values, (long)rowOf(i) * perRow, taken, (long)i * perRow, perRow);
        return taken;
    }

    /// <summary>The number in the old order of every group of the new one; null where a group would be of columns of several.</summary>
    private protected static int[]? Groups(int[] columnOf, int size)
    {
        var groups = new int[columnOf.Length / size];
        for (int column = 0; column < columnOf.Length; column++)
        {
            int group = columnOf[column] / size;
            if (column % size == 0) groups[column / size] = group;
            else if (groups[column / size] != group) return null;
        }
        return groups;
    }

    private protected static T[] Columns<T>(T[] values, int[] columnOf)
    {
        var taken = new T[values.Length];
        for (int start = 0; start < values.Length; start += columnOf.Length)
        {
            for (int i = 0; i < columnOf.Length; i++) taken[start + i] = values[start + columnOf[i]];
        }
        return taken;
    }

    private protected abstract QuantizedWeight Join(int rows, IReadOnlyList<(QuantizedWeight Weight, Func<int, int> RowOf)> parts);

    private protected static T[] Scatter<T>(int rows, IReadOnlyList<(QuantizedWeight Weight, Func<int, int> RowOf)> parts, Func<QuantizedWeight, T[]> of)
    {
        int perRow = of(parts[0].Weight).Length / parts[0].Weight.OutFeatures;
        var joined = new T[(long)rows * perRow];
        foreach ((QuantizedWeight weight, Func<int, int> rowOf) in parts)
        {
            T[] values = of(weight);
            for (int i = 0; i < weight.OutFeatures; i++) Array.Copy(values, (long)i * perRow, joined, (long)rowOf(i) * perRow, perRow);
        }
        return joined;
    }

    private protected abstract void WriteValues(Span<float> destination);
}
