using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Export;

/// <summary>Looks before anything is written whether two tensors of a file would have one name.</summary>
public static class TensorCollisions
{
    /// <summary>Finds them, a sentence each.</summary>
    /// <param name="location">The source, for messages.</param>
    /// <param name="tensors">All that would be written.</param>
    public static IReadOnlyList<string> Find(string location, IEnumerable<PendingTensor> tensors) => Find(location, tensors.Select(tensor => tensor.Name));

    /// <summary>Finds them by name.</summary>
    /// <param name="location">The source, for messages.</param>
    /// <param name="names">All names that would be written.</param>
    public static IReadOnlyList<string> Find(string location, IEnumerable<string> names)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal) { "__metadata__" };
        return [.. names.Where(name => !seen.Add(name)).Distinct(StringComparer.Ordinal).Select(name =>
            $"{location}: tensor '{name}' has a name that the result needs for another tensor; remove it from the source, or rename it.")];
    }
}
