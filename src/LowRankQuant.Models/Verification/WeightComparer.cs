using System.Globalization;
using System.Numerics;
using LowRankQuant.Formats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Verification;

/// <summary>
/// Compares codes, zero points and stored scales of two weights. Grids may differ where the meaning is the same: scales repeated in smaller groups, a
/// zero point of 2^(b-1) stored where the other grid is symmetric, and, in GGUF's blocks, codes of more bits than the run's, which keep only the
/// difference of code and zero point where the block stores no zero point.
/// </summary>
internal static class WeightComparer
{
    /// <summary>The first difference.</summary>
    /// <param name="tensor">Name, for the result.</param>
    /// <param name="expected">The run's weight.</param>
    /// <param name="actual">The container's weight.</param>
    /// <param name="mayBeWider">Whether the container may hold the codes in more bits.</param>
    /// <returns>Null when the two are the same.</returns>
    public static Difference? Compare(string tensor, OrderedWeight expected, OrderedWeight actual, bool mayBeWider = false)
    {
        UniformWeight run = expected.Weight, stored = actual.Weight;
        if (CompareShapes(tensor, run, stored) is { } shape) return shape;
        if (stored.Grid.Bits != run.Grid.Bits && !(mayBeWider && stored.Grid.Bits > run.Grid.Bits)) return new Difference(tensor, $"{stored.Grid.Bits} bits, the run has {run.Grid.Bits}");
        // A block without zero points in wider codes: all it keeps of code and zero point is their difference.
        bool keepsZeros = stored.Grid.Bits == run.Grid.Bits || (!stored.Grid.Symmetric && !run.Grid.Symmetric);
        byte[] codes = actual.CodesInModelOrder(), wanted = expected.CodesInModelOrder();
        if (keepsZeros && FirstCode(tensor, run.InFeatures, wanted, codes) is { } code) return code;
        int[] runGroups = expected.GroupIndex(), storedGroups = actual.GroupIndex();
        int rows = run.OutFeatures, columns = run.InFeatures;
        for (int row = 0; row < rows; row++)
        {
            (int Run, int Stored) last = (-1, -1);
            int i = 0, j = 0;
            for (int column = 0; column < columns; column++)
            {
                (int Run, int Stored) groups = (runGroups[column], storedGroups[column]);
                if (groups != last)
                {
                    last = groups;
                    (i, j) = (Index(run, row, groups.Run), Index(stored, row, groups.Stored));
                    if (CompareGroup(tensor, $"[{row}, {column}]", run, i, stored, j, keepsZeros) is { } group) return group;
                }
                if (keepsZeros) continue;
                int at = (row * columns) + column, difference = codes[at] - Zero(stored, j), due = wanted[at] - Zero(run, i);
                if (difference != due) return new Difference(tensor, $"code less zero point at [{row}, {column}] is {difference}, the run has {due}");
            }
        }
        return null;
    }

    /// <summary>The first difference of two weights on two-level grids: codes, integers of the groups, halves of the blocks.</summary>
    /// <param name="tensor">Name, for the result.</param>
    /// <param name="run">The run's weight.</param>
    /// <param name="stored">The container's weight.</param>
    /// <returns>Null when the two are the same.</returns>
    public static Difference? Compare(string tensor, TwoLevelWeight run, TwoLevelWeight stored)
    {
        if (CompareShapes(tensor, run, stored) is { } shape) return shape;
        if (stored.Grid != run.Grid) return new Difference(tensor, $"the grid is {stored.Grid}, the run has {run.Grid}");
        int columns = run.InFeatures, groups = run.Grid.GroupsPerRow(columns), blocks = run.Grid.ScalesPerRow(columns);
        TwoLevelScales wanted = run.Scales, found = stored.Scales;
        return FirstCode(tensor, columns, run.Codes, stored.Codes)
            ?? First<Half>("block scale", blocks, wanted.BlockScales, found.BlockScales)
            ?? First<sbyte>("group scale", groups, wanted.GroupScales, found.GroupScales)
            ?? First<Half>("block minimum", blocks, wanted.BlockMinima, found.BlockMinima)
            ?? First<byte>("group minimum", groups, wanted.GroupMinima, found.GroupMinima);

        Difference? First<T>(string what, int perRow, ReadOnlySpan<T> expected, ReadOnlySpan<T> actual)
        {
            int at = expected.CommonPrefixLength(actual);
            return at == expected.Length ? null : new Difference(
                tensor, string.Create(CultureInfo.InvariantCulture, $"{what} {at % perRow} of row {at / perRow} is {actual[at]}, the run has {expected[at]}"));
        }
    }

    /// <summary>The first difference of two weights with float minima: codes, scales, minima. One may have larger groups than the other, whose numbers the other then repeats.</summary>
    /// <param name="tensor">Name, for the result.</param>
    /// <param name="run">The run's weight.</param>
    /// <param name="stored">The container's weight.</param>
    /// <param name="mayBeWider">Whether the container may hold the codes in more bits.</param>
    /// <returns>Null when the two are the same.</returns>
    public static Difference? Compare(string tensor, AffineWeight run, AffineWeight stored, bool mayBeWider = false)
    {
        if (CompareShapes(tensor, run, stored) is { } shape) return shape;
        if (stored.Grid.Bits != run.Grid.Bits && !(mayBeWider && stored.Grid.Bits > run.Grid.Bits)) return new Difference(tensor, $"{stored.Grid.Bits} bits, the run has {run.Grid.Bits}");
        if (FirstCode(tensor, run.InFeatures, run.Codes, stored.Codes) is { } code) return code;
        int size = (int)BigInteger.GreatestCommonDivisor(run.Grid.GroupSize, stored.Grid.GroupSize), groups = run.InFeatures / size;
        AffineWeight wanted = run.InGroupsOf(size), found = stored.InGroupsOf(size);
        return First("scale", wanted.Scales, found.Scales) ?? First("minimum", wanted.Minima, found.Minima);

        Difference? First(string what, float[] expected, float[] actual)
        {
            int at = expected.AsSpan().CommonPrefixLength(actual);
            return at == expected.Length ? null : new Difference(
                tensor, string.Create(CultureInfo.InvariantCulture, $"{what} at [{at / groups}, {at % groups * size}] is {actual[at]:R}, the run has {expected[at]:R}"));
        }
    }

    /// <summary>The first difference of two weights on float grids: codes, scales, the scale of the matrix.</summary>
    /// <param name="tensor">Name, for the result.</param>
    /// <param name="run">The run's weight.</param>
    /// <param name="stored">The container's weight.</param>
    /// <returns>Null when the two are the same.</returns>
    public static Difference? Compare(string tensor, FloatWeight run, FloatWeight stored)
    {
        if (CompareShapes(tensor, run, stored) is { } shape) return shape;
        if (stored.Grid != run.Grid) return new Difference(tensor, $"the grid is {stored.Grid}, the run has {run.Grid}");
        if (FirstCode(tensor, run.InFeatures, run.Codes, stored.Codes) is { } code) return code;
        int at = run.Scales.AsSpan().CommonPrefixLength(stored.Scales), groups = run.Grid.GroupsPerRow(run.InFeatures);
        if (at < run.Scales.Length)
            return new Difference(tensor, string.Create(CultureInfo.InvariantCulture, $"scale {at % groups} of row {at / groups * run.Grid.GroupRows} is {stored.Scales[at]:R}, the run has {run.Scales[at]:R}"));
        return stored.Divisor == run.Divisor ? null
            : new Difference(tensor, string.Create(CultureInfo.InvariantCulture, $"scales are divided by {stored.Divisor:R}, the run has {run.Divisor:R}"));
    }

    /// <summary>The first difference of two tensors of floats; null when every element is the same.</summary>
    public static Difference? Compare(string tensor, ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        if (expected.Length != actual.Length) return new Difference(tensor, $"{actual.Length} elements, the run has {expected.Length}");
        int at = expected.CommonPrefixLength(actual);
        return at == expected.Length ? null : new Difference(
            tensor, string.Create(CultureInfo.InvariantCulture, $"element {at} is {actual[at]:R}, the run gives {expected[at]:R}"));
    }

    private static Difference? CompareShapes(string tensor, QuantizedWeight run, QuantizedWeight stored) =>
        (stored.OutFeatures, stored.InFeatures) == (run.OutFeatures, run.InFeatures) ? null
        : new Difference(tensor, $"shape [{stored.OutFeatures}, {stored.InFeatures}], the run has [{run.OutFeatures}, {run.InFeatures}]");

    private static Difference? FirstCode(string tensor, int columns, byte[] wanted, byte[] codes)
    {
        int at = codes.AsSpan().CommonPrefixLength(wanted);
        return at == codes.Length ? null : new Difference(tensor, $"code at [{at / columns}, {at % columns}] is {codes[at]}, the run has {wanted[at]}");
    }

    private static Difference? CompareGroup(string tensor, string place, UniformWeight run, int i, UniformWeight stored, int j, bool keepsZeros)
    {
        if (stored.Scales[j] != run.Scales[i])
            return new Difference(tensor, string.Create(CultureInfo.InvariantCulture, $"scale at {place} is {stored.Scales[j]:R}, the run has {run.Scales[i]:R}"));
        return !keepsZeros || Zero(stored, j) == Zero(run, i) ? null
            : new Difference(tensor, $"zero point at {place} is {Zero(stored, j)}, the run has {Zero(run, i)}");
    }

    private static int Index(UniformWeight weight, int row, int group) =>
        weight.Grid.Granularity == Granularity.Tensor ? 0 : (row * weight.Grid.GroupsPerRow(weight.InFeatures)) + group;

    private static int Zero(UniformWeight weight, int index) => weight.ZeroPoints is { } zeros ? zeros[index] : weight.Grid.SymmetricZero;
}
