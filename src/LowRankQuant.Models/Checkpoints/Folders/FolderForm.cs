using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>A stored linear that is several linears of the model.</summary>
/// <param name="Name">Its module path.</param>
/// <param name="OutFeatures">Rows of the whole.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Parts">The model's linears in it, by module path.</param>
public sealed record FusedModule(string Name, int OutFeatures, int InFeatures, IReadOnlyList<(string Module, StoredView View)> Parts)
{
    /// <summary>The whole's codes from those of its parts, in their order; null where these do not fit into one weight.</summary>
    public QuantizedWeight? Join(IReadOnlyList<QuantizedWeight> parts) =>
        QuantizedWeight.JoinRows(OutFeatures, [.. parts.Select((weight, i) => (weight, (Func<int, int>)Parts[i].View.Pattern.Of))]);
}

/// <summary>
/// The tensors of a model as folders of its family hold them: what the program takes apart (fused projections, stacks of experts, transposed weights) is put together
/// again. Quantized linears of one stored matrix are one quantized linear; experts of stacks stay apart, since no container has stacks.
/// </summary>
public sealed class FolderForm
{
    private const string Weight = ".weight";
    private readonly ICheckpoint _source;
    private readonly ModelLayout _layout;
    private readonly Dictionary<string, FusedModule> _byPart = new(StringComparer.Ordinal), _byName = new(StringComparer.Ordinal);

    private FolderForm(ICheckpoint source, ModelLayout layout)
    {
        _source = source;
        _layout = layout;
        foreach (IGrouping<string, TensorSpec> stored in layout.Tensors.Where(IsPartOfLinear).GroupBy(tensor => tensor.View!.Stored, StringComparer.Ordinal))
        {
            StoredView view = stored.First().View!;
            int rows = view.Transposed ? view.Columns : view.Rows;
            var module = new FusedModule(stored.Key[..^Weight.Length], rows, view.TakenColumns, [.. stored.Select(tensor => (tensor.Name[..^Weight.Length], tensor.View!))]);
            _byName[module.Name] = module;
            foreach ((string part, _) in module.Parts) _byPart[part] = module;
        }
    }

    /// <summary>The form that a source has, or, where it holds experts as codes, that of its family's floats.</summary>
    public static FolderForm Of(ICheckpoint source) =>
        new(source, source.Layout.Tensors.Any(tensor => tensor.View is { IsMxfp4: true }) ? source.Architecture.Layout(_ => false) : source.Layout);

    /// <summary>The form of floats: that of the source where it holds floats, else that of its family, because quantized linears may be stored apart that floats are not.</summary>
    public static FolderForm OfFloats(ICheckpoint source) =>
        Stored(source) is HuggingFaceCheckpoint { Container: not null } ? new(source, source.Architecture.Layout(_ => false)) : Of(source);

    // What holds the tensors, beneath what is read in the place of some.
    private static ICheckpoint Stored(ICheckpoint source) => source switch
    {
        AdaptedCheckpoint adapted => Stored(adapted.Base),
        ChangedCheckpoint changed => Stored(changed.Base),
        _ => source,
    };

    /// <summary>The stored linear that a linear of the model is a part of; null where it is stored by itself.</summary>
    public FusedModule? FusedOf(string module) => _byPart.GetValueOrDefault(module);

    /// <summary>The stored linear of a name, where it is several linears of the model or another matrix than the one that the model has under its name; else null.</summary>
    public FusedModule? FusedAs(string stored) => _byName.GetValueOrDefault(stored);

    /// <summary>Tensors of the model as they are stored.</summary>
    /// <param name="names">Tensors of the model; of what is stored together all or none.</param>
    /// <param name="type">Their type.</param>
    /// <param name="alone">A tensor that is stored by itself.</param>
    /// <param name="read">Reads a tensor; null for the source's own values.</param>
    /// <exception cref="CheckpointException">When written: a value does not fit the type.</exception>
    public List<PendingTensor> Tensors(IEnumerable<string> names, SafetensorsType type, Func<string, PendingTensor> alone, Func<string, float[]>? read = null)
    {
        read ??= name => _source.ReadFor(name, type);
        var tensors = new List<PendingTensor>();
        var together = new Dictionary<string, List<TensorSpec>>(StringComparer.Ordinal);
        foreach (string name in names)
        {
            if (_layout.Find(name) is not { View: { } view } spec)
            {
                tensors.Add(alone(name));
                continue;
            }
            if (!together.TryGetValue(view.Stored, out List<TensorSpec>? parts)) together[view.Stored] = parts = [];
            parts.Add(spec);
        }
        foreach ((string stored, List<TensorSpec> parts) in together)
        {
            // Of a stored matrix of which only parts are left as floats, such as one of several experts, each is stored by itself.
            if (parts.Sum(part => part.Shape.Aggregate(1L, (product, size) => product * size)) != parts[0].View!.StoredShape.Aggregate(1L, (product, size) => product * size))
                tensors.AddRange(parts.Select(part => new PendingTensor(part.Name, type, Sizes(part.Shape), sink => sink.WriteSingles(read(part.Name)))));
            else
                tensors.Add(new PendingTensor(stored, type, Sizes(parts[0].View!.StoredShape), sink => Write(sink, parts, read)));
        }
        return tensors;
    }

    private static long[] Sizes(IReadOnlyList<int> shape) => [.. shape.Select(size => (long)size)];

    private static bool IsPartOfLinear(TensorSpec tensor) =>
        tensor is { View.StoredShape.Count: 2, View.Offset: 0, Shape.Count: 2 } && tensor.Name.EndsWith(Weight, StringComparison.Ordinal)
        && tensor.View.Stored.EndsWith(Weight, StringComparison.Ordinal);

    // Matrix by matrix, in the order in which they lie: a stack of experts is never in memory as a whole.
    private static void Write(TensorSink sink, List<TensorSpec> parts, Func<string, float[]> read)
    {
        foreach (IGrouping<long, TensorSpec> matrix in parts.GroupBy(part => part.View!.Offset).OrderBy(group => group.Key))
        {
            StoredView whole = matrix.First().View!;
            var values = new float[(long)whole.Rows * whole.Columns];
            foreach (TensorSpec part in matrix)
            {
                StoredView view = part.View!;
                float[] taken = read(part.Name);
                int columns = view.TakenColumns;
                for (int row = 0; row < view.Pattern.Count; row++)
                {
                    for (int column = 0; column < columns; column++) values[view.ElementOf(row, column) - view.Offset] = taken[(row * columns) + column];
                }
            }
            sink.WriteSingles(values);
        }
    }
}
