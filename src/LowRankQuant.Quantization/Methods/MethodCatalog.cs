using System.Diagnostics.CodeAnalysis;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Methods;

/// <summary>The methods that there are, each under its name.</summary>
public sealed class MethodCatalog
{
    private readonly Dictionary<string, QuantizationMethod> _byName = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>A catalog of methods, the default first, and of transforms that may stand in front of them.</summary>
    /// <exception cref="ArgumentException">Two methods have one name, or a method has two options of one key, or there is no method at all.</exception>
    public MethodCatalog(IEnumerable<QuantizationMethod> methods, IReadOnlyList<TransformDeclaration>? transforms = null)
    {
        Transforms = transforms ?? [];
        Methods = [.. methods];
        if (Methods.Count == 0) throw new ArgumentException("A catalog holds at least one method.", nameof(methods));
        foreach (QuantizationMethod method in Methods)
        {
            if (!_byName.TryAdd(method.Name, method)) throw new ArgumentException($"There are two methods named '{method.Name}': {_byName[method.Name].GetType()} and {method.GetType()}.", nameof(methods));
            if (method.Options.GroupBy(option => option.Key).FirstOrDefault(same => same.Count() > 1) is { } twice)
                throw new ArgumentException($"The method '{method.Name}' declares its option '{twice.Key}' twice.", nameof(methods));
        }
    }

    /// <summary>All of them, in the order of help.</summary>
    public IReadOnlyList<QuantizationMethod> Methods { get; }

    /// <summary>Transforms that may stand in front of a method.</summary>
    public IReadOnlyList<TransformDeclaration> Transforms { get; }

    /// <summary>The one that is taken where nobody says which.</summary>
    public QuantizationMethod Default => Methods[0];

    /// <summary>All names, for messages.</summary>
    public string Names => string.Join(", ", Methods.Select(method => method.Name));

    /// <summary>All keys that any method takes.</summary>
    public IEnumerable<string> Keys => Methods.SelectMany(method => method.Options).Select(option => option.Key).Distinct(StringComparer.Ordinal);

    /// <summary>The method of a name.</summary>
    public bool TryFind(string name, [NotNullWhen(true)] out QuantizationMethod? method) => _byName.TryGetValue(name, out method);

    /// <summary>The methods that take an option.</summary>
    public IEnumerable<QuantizationMethod> Taking(string key) => Methods.Where(method => method.Options.Any(option => option.Key == key));

    /// <summary>This catalog with more methods behind its own.</summary>
    public MethodCatalog With(IEnumerable<QuantizationMethod> more) => new(Methods.Concat(more), Transforms);
}
