using Mono.Cecil;
using Mono.Cecil.Cil;

namespace LowRankQuant.Tests.Project;

/// <summary>Which namespaces use which, as compiled code says: base types, members, signatures, attributes and bodies.</summary>
internal sealed class NamespaceGraph
{
    private readonly Dictionary<string, Dictionary<string, string>> _edges = new(StringComparer.Ordinal);

    /// <summary>All namespaces.</summary>
    public IEnumerable<string> Namespaces => _edges.Keys;

    /// <summary>All edges, with the first pair of types that makes each.</summary>
    public IEnumerable<(string From, string To, string Example)> Edges => _edges.SelectMany(from => from.Value.Select(to => (from.Key, to.Key, to.Value)));

    /// <summary>Reads assemblies; namespaces that do not begin with a prefix are left out.</summary>
    /// <param name="files">The assemblies.</param>
    /// <param name="prefix">Of the project's own namespaces.</param>
    public static NamespaceGraph Of(IEnumerable<string> files, string prefix)
    {
        var graph = new NamespaceGraph();
        foreach (string file in files)
        {
            using var module = ModuleDefinition.ReadModule(file);
            foreach (TypeDefinition type in module.GetTypes())
            {
                TypeReference owner = Outermost(type);
                if (!owner.Namespace.StartsWith(prefix, StringComparison.Ordinal) || IsGenerated(owner)) continue;
                foreach (TypeReference used in UsedBy(type))
                {
                    TypeReference other = Outermost(used);
                    if (other.Namespace.StartsWith(prefix, StringComparison.Ordinal) && !IsGenerated(other)) graph.Add(owner.Namespace, other.Namespace, $"{owner.Name} uses {other.Name}");
                }
            }
        }
        return graph;
    }

    /// <summary>Adds an edge.</summary>
    public void Add(string from, string to, string example)
    {
        _edges.TryAdd(from, new(StringComparer.Ordinal));
        _edges.TryAdd(to, new(StringComparer.Ordinal));
        if (from != to) _edges[from].TryAdd(to, example);
    }

    /// <summary>Sets of namespaces that use each other in a circle (strongly connected components of more than one), by Tarjan's algorithm.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Cycles()
    {
        var number = new Dictionary<string, int>();
        var low = new Dictionary<string, int>();
        var stack = new Stack<string>();
        var cycles = new List<IReadOnlyList<string>>();
        foreach (string name in _edges.Keys.Order(StringComparer.Ordinal))
        {
            if (!number.ContainsKey(name)) Visit(name);
        }
        return cycles;

        void Visit(string name)
        {
            number[name] = low[name] = number.Count;
            stack.Push(name);
            foreach (string next in _edges[name].Keys)
            {
                if (!number.TryGetValue(next, out int known))
                {
                    Visit(next);
                    low[name] = Math.Min(low[name], low[next]);
                }
                else if (stack.Contains(next))
                {
                    low[name] = Math.Min(low[name], known);
                }
            }
            if (low[name] != number[name]) return;
            var circle = new List<string>();
            string member;
            do circle.Add(member = stack.Pop());
            while (member != name);
            if (circle.Count > 1) cycles.Add([.. circle.Order(StringComparer.Ordinal)]);
        }
    }

    private static bool IsGenerated(TypeReference type) => type.Name.StartsWith('<') || type.Name == "RegexGenerator";

    private static TypeReference Outermost(TypeReference type)
    {
        while (true)
        {
            if (type is TypeSpecification specification) type = specification.ElementType;
            else if (type.DeclaringType is { } outer) type = outer;
            else return type;
        }
    }

    private static IEnumerable<TypeReference> UsedBy(TypeDefinition type)
    {
        IEnumerable<TypeReference?> direct =
        [
            type.BaseType, .. type.Interfaces.Select(face => face.InterfaceType), .. type.Fields.Select(field => field.FieldType), .. Attributes(type), .. type.Fields.SelectMany(Attributes),
            .. Constraints(type), .. type.Methods.SelectMany(Of),
        ];
        return direct.OfType<TypeReference>().SelectMany(Parts);
    }

    private static IEnumerable<TypeReference?> Of(MethodDefinition method)
    {
        IEnumerable<TypeReference?> signature =
            [method.ReturnType, .. method.Parameters.Select(parameter => parameter.ParameterType), .. Attributes(method), .. Constraints(method), .. method.Overrides.SelectMany(Of)];
        return method.HasBody
            ? signature.Concat(method.Body.Variables.Select(variable => variable.VariableType)).Concat(method.Body.Instructions.SelectMany(instruction => Of(instruction)))
            : signature;
    }

    private static IEnumerable<TypeReference?> Of(Instruction instruction) => instruction.Operand switch
    {
        MethodReference method => Of(method),
        FieldReference field => [field.DeclaringType, field.FieldType],
        TypeReference type => [type],
        _ => [],
    };

    private static IEnumerable<TypeReference?> Of(MethodReference method) =>
    [
        method.DeclaringType, method.ReturnType, .. method.Parameters.Select(parameter => parameter.ParameterType),
        .. method is GenericInstanceMethod generic ? generic.GenericArguments : [],
    ];

    private static IEnumerable<TypeReference?> Attributes(ICustomAttributeProvider provider) => provider.CustomAttributes.Select(attribute => attribute.AttributeType);

    private static IEnumerable<TypeReference?> Constraints(IGenericParameterProvider provider) =>
        provider.GenericParameters.SelectMany(parameter => parameter.Constraints).Select(constraint => constraint.ConstraintType);

    // A generic type is used with its arguments, an array with its elements.
    private static IEnumerable<TypeReference> Parts(TypeReference type) => type switch
    {
        GenericParameter => [],
        FunctionPointerType pointer => [.. Parts(pointer.ReturnType), .. pointer.Parameters.SelectMany(parameter => Parts(parameter.ParameterType))],
        GenericInstanceType generic => [generic.ElementType, .. generic.GenericArguments.SelectMany(Parts)],
        TypeSpecification specification => Parts(specification.ElementType),
        _ => [type],
    };
}
