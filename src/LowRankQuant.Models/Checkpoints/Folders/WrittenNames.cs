using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// From standard names back to those of the source, for a text model within a multimodal one: what is written from it loads where the source does. A tensor
/// that the source does not have, such as the codes of a linear, stands beside the one that it belongs to.
/// </summary>
internal sealed class WrittenNames
{
    // Paths of modules and tensors, and their paths in the source.
    private readonly Dictionary<string, string> _paths = new(StringComparer.Ordinal);

    /// <summary>Looks at the names of a folder.</summary>
    /// <param name="tensors">Its tensors, by their standard names.</param>
    /// <param name="architecture">What its text model is.</param>
    public WrittenNames(SafetensorsFolder tensors, Architecture architecture)
    {
        foreach (string standard in tensors.Names.Where(architecture.Owns)) Note(standard, StandardNames.Unwrapped(tensors.StoredNameOf(standard)));
        // A head that is not stored would stand beside the base model.
        string head = architecture.HeadName[..architecture.HeadName.LastIndexOf('.')], root = architecture.Base.TrimEnd('.');
        if (!_paths.ContainsKey(head) && _paths.TryGetValue(root, out string? stored) && stored.EndsWith($".{root}", StringComparison.Ordinal))
            _paths.Add(head, stored[..^root.Length] + head);
    }

    /// <summary>The name that is written.</summary>
    /// <param name="standard">Standard name of a tensor or module of the text model.</param>
    public string Of(string standard)
    {
        for (int end = standard.Length; end > 0; end = standard.LastIndexOf('.', end - 1))
        {
            if (_paths.TryGetValue(standard[..end], out string? stored)) return stored + standard[end..];
        }
        return standard;
    }

    // A tensor and all modules that it is in, as far as their names end alike.
    private void Note(string standard, string stored)
    {
        while (_paths.TryAdd(standard, stored))
        {
            int dot = standard.LastIndexOf('.'), other = stored.LastIndexOf('.');
            if (dot < 0 || other < 0 || !standard.AsSpan(dot).SequenceEqual(stored.AsSpan(other))) return;
            (standard, stored) = (standard[..dot], stored[..other]);
        }
    }
}
