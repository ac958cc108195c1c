namespace LowRankQuant.Models.Decoder.Layouts;

/// <summary>
/// Which linears of a model are quantized and which stay in their own type, where somebody chose otherwise than the family. Linears are named within their block, which means
/// those of all blocks, or by their module paths.
/// </summary>
public sealed class LinearSelection
{
    private readonly HashSet<string> _kept, _quantized;

    /// <summary>Notes what was chosen.</summary>
    /// <param name="kept">Linears that stay in their own type and that the family quantizes.</param>
    /// <param name="quantized">Linears that are quantized and that the family leaves in their own type.</param>
    public LinearSelection(IReadOnlyList<string> kept, IReadOnlyList<string> quantized)
    {
        (Kept, Quantized) = (kept, quantized);
        _kept = new HashSet<string>(kept, StringComparer.Ordinal);
        _quantized = new HashSet<string>(quantized, StringComparer.Ordinal);
    }

    /// <summary>Linears that stay in their own type and that the family quantizes.</summary>
    public IReadOnlyList<string> Kept { get; }

    /// <summary>Linears that are quantized and that the family leaves in their own type.</summary>
    public IReadOnlyList<string> Quantized { get; }

    /// <summary>The same for another model of the same linears, whose blocks may have other names.</summary>
    /// <param name="from">The model that was spoken of.</param>
    /// <param name="to">The other.</param>
    public LinearSelection Renamed(ModelLayout from, ModelLayout to)
    {
        if (from.Blocks.SequenceEqual(to.Blocks)) return this;
        Dictionary<string, string> names = [];
        foreach ((string own, string other, IReadOnlyList<LinearShape> linears) in from.Blocks.Zip(to.Blocks, from.AllLinears))
        {
            foreach (LinearShape linear in linears) names[$"{own}.{linear.Name}"] = $"{other}.{linear.Name}";
        }
        return new LinearSelection([.. Kept.Select(name => names.GetValueOrDefault(name, name))], [.. Quantized.Select(name => names.GetValueOrDefault(name, name))]);
    }

    /// <summary>Whether a linear stays in its own type.</summary>
    /// <param name="selection">What was chosen; null for nothing.</param>
    /// <param name="block">Name of its block.</param>
    /// <param name="linear">The linear, by its name within the block.</param>
    public static bool IsKept(LinearSelection? selection, string block, LinearShape linear) =>
        selection?.IsKept(block, linear.Name, linear.KeptByDefault) ?? linear.KeptByDefault;

    /// <summary>Whether a linear stays in its own type.</summary>
    /// <param name="block">Name of its block.</param>
    /// <param name="name">Its name within the block.</param>
    /// <param name="byDefault">Whether the family leaves it so.</param>
    public bool IsKept(string block, string name, bool byDefault)
    {
        string path = $"{block}.{name}";
        return byDefault ? !_quantized.Contains(name) && !_quantized.Contains(path) : _kept.Contains(name) || _kept.Contains(path);
    }
}
