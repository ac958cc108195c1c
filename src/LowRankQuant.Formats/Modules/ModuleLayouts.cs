namespace LowRankQuant.Formats.Modules;

/// <summary>The layouts of a checkpoint's modules: one for all, and rules that give some of them another, or leave them dense.</summary>
/// <typeparam name="T">What a reader must know of a module.</typeparam>
public sealed class ModuleLayouts<T>
    where T : class
{
    private readonly IReadOnlyList<(Func<string, bool> Matches, T? Layout)> _rules;

    /// <summary>Layouts by rules.</summary>
    /// <param name="common">Layout of the modules that no rule names.</param>
    /// <param name="rules">Which modules a rule is for, and their layout, or null when they are dense; the first that matches counts.</param>
    internal ModuleLayouts(T common, IReadOnlyList<(Func<string, bool> Matches, T? Layout)>? rules = null)
    {
        Common = common;
        _rules = rules ?? [];
    }

    /// <summary>Layout of the modules that no rule names.</summary>
    public T Common { get; }

    /// <summary>The layout of a module; null when the configuration leaves it dense.</summary>
    /// <param name="module">Its name.</param>
    /// <param name="stored">Its name in the files, where that is another: the rules may speak of either.</param>
    /// <exception cref="CheckpointFormatException">A pattern takes too long to match (<c>config-pattern</c>).</exception>
    public T? For(string module, string? stored = null)
    {
        foreach ((Func<string, bool> matches, T? layout) in _rules)
        {
            if (matches(module) || (stored is not null && stored != module && matches(stored))) return layout;
        }
        return Common;
    }

    /// <summary>The layouts of modules that are stored quantized.</summary>
    /// <param name="modules">Their names.</param>
    /// <param name="stored">A module's name in the files.</param>
    /// <param name="location">The checkpoint, for messages.</param>
    /// <exception cref="CheckpointFormatException">The configuration leaves one of them dense (<c>config-schema</c>), or a pattern takes too long.</exception>
    public Dictionary<string, T> Resolve(IEnumerable<string> modules, Func<string, string> stored, string location) => modules.ToDictionary(
        module => module,
        module => For(module, stored(module)) ?? throw new CheckpointFormatException("config-schema", location, module, "is stored quantized, but the configuration leaves it dense."),
        StringComparer.Ordinal);
}
