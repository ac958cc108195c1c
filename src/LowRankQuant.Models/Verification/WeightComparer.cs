using System.Globalization;
using LowRankQuant.Formats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Verification;

/// <summary>
/// Compares codes, zero points and stored scales of two weights. Grids may differ where the meaning is the same: scales repeated in smaller groups, a
/// zero point of 2^(b-1) stored where the other grid is symmetric.
/// </summary>
internal static class WeightComparer
{
    /// <summary>The first difference.</summary>
    /// <param name="tensor">Name, for the result.</param>
    /// <param name="expected">The run's weight.</param>
    /// <param name="actual">The container's weight.</param>
    /// <returns>Null when the two are the same.</returns>
    public static Difference? Compare(string tensor, OrderedWeight expected, OrderedWeight actual)
    {
        UniformWeight run = expected.Weight, stored = actual.Weight;
        int rows = run.OutFeatures, columns = run.InFeatures;
        if (stored.OutFeatures != rows || stored.InFeatures != columns)
            return new Difference(tensor, $"shape [{stored.OutFeatures}, {stored.InFeatures}], the run has [{rows}, {columns}]");
        if (stored.Grid.Bits != run.Grid.Bits) return new Difference(tensor, $"{stored.Grid.Bits} bits, the run has {run.Grid.Bits}");
        byte[] codes = actual.CodesInModelOrder(), wanted = expected.CodesInModelOrder();
        int at = codes.AsSpan().CommonPrefixLength(wanted);
        if (at < codes.Length) return new Difference(tensor, $"code at [{at / columns}, {at % columns}] is {codes[at]}, the run has {wanted[at]}");
        int[] runGroups = expected.GroupIndex(), storedGroups = actual.GroupIndex();
        for (int row = 0; row < rows; row++)
        {
            (int Run, int Stored) last = (-1, -1);
            for (int column = 0; column < columns; column++)
            {
                (int Run, int Stored) groups = (runGroups[column], storedGroups[column]);
                if (groups == last) continue;
                last = groups;
                int i = Index(run, row, groups.Run), j = Index(stored, row, groups.Stored);
                if (stored.Scales[j] != run.Scales[i])
                    return new Difference(
                        tensor,
                        string.Create(CultureInfo.InvariantCulture, $"scale at [{row}, {column}] is {stored.Scales[j]:R}, the run has {run.Scales[i]:R}"));
                if (Zero(stored, j) != Zero(run, i))
                    return new Difference(tensor, $"zero point at [{row}, {column}] is {Zero(stored, j)}, the run has {Zero(run, i)}");
            }
        }
        return null;
    }

    /// <summary>The first difference of two tensors of floats; null when every element is the same.</summary>
    public static Difference? Compare(string tensor, ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        if (expected.Length != actual.Length) return new Difference(tensor, $"{actual.Length} elements, the run has {expected.Length}");
        int at = expected.CommonPrefixLength(actual);
        return at == expected.Length ? null : new Difference(
            tensor, string.Create(CultureInfo.InvariantCulture, $"element {at} is {actual[at]:R}, the run gives {expected[at]:R}"));
    }

    private static int Index(UniformWeight weight, int row, int group) =>
        weight.Grid.Granularity == Granularity.Tensor ? 0 : (row * weight.Grid.GroupsPerRow(weight.InFeatures)) + group;

    private static int Zero(UniformWeight weight, int index) => weight.ZeroPoints is { } zeros ? zeros[index] : weight.Grid.SymmetricZero;
}
