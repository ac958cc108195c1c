using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// The tensors of a folder by the names of the model: a quantized linear is one tensor, its <c>.weight</c>, and every other tensor is itself.
/// </summary>
/// <param name="location">The folder.</param>
/// <param name="tensors">Its safetensors files.</param>
/// <param name="container">How its quantized linears are stored; null for plain floats.</param>
internal sealed class FolderContents(string location, SafetensorsFolder tensors, QuantizedContainer? container)
{
    private const string WeightSuffix = ".weight";
    private const int Part = 1 << 22;

    /// <summary>The folder.</summary>
    public string Location { get; } = location;

    /// <summary>The stored tensors.</summary>
    public SafetensorsFolder Stored { get; } = tensors;

    /// <summary>How quantized linears are stored; null for plain floats.</summary>
    public QuantizedContainer? Container { get; } = container;

    /// <summary>All names; quantized linears first.</summary>
    public IEnumerable<string> Names =>
    [
        .. Container?.Modules.Select(module => module + WeightSuffix) ?? [],
        .. Stored.Names.Where(name => Container?.Owns(name) != true),
    ];

    /// <summary>The quantized module whose weight a name means; null for a tensor that is stored as it is.</summary>
    public string? Quantized(string name) =>
        Container is not null && name.EndsWith(WeightSuffix, StringComparison.Ordinal) && Container.Holds(name[..^WeightSuffix.Length])
            ? name[..^WeightSuffix.Length]
            : null;

    /// <summary>Whether a tensor is there.</summary>
    public bool Contains(string name) => Quantized(name) is not null || (Stored.Contains(name) && Container?.Owns(name) != true);

    /// <summary>Stored type of a tensor; null for a quantized linear.</summary>
    public SafetensorsType? TypeOf(string name) => Quantized(name) is null ? Stored.Tensors[name].Type : null;

    /// <summary>Sizes of a tensor.</summary>
    /// <exception cref="CheckpointException">It is absent.</exception>
    public IReadOnlyList<int> ShapeOf(string name)
    {
        if (Quantized(name) is { } module)
        {
            (int outFeatures, int inFeatures) = Container!.ShapeOf(module);
            return [outFeatures, inFeatures];
        }
        if (!Stored.Contains(name)) throw Absent(name);
        IReadOnlyList<long> shape = Stored.ShapeOf(name);
        return shape.All(size => size <= int.MaxValue)
            ? [.. shape.Select(size => (int)size)]
            : throw new CheckpointException($"{Location}: tensor '{name}' has shape [{string.Join(", ", shape)}]; sizes up to {int.MaxValue} are read.");
    }

    /// <summary>Reads a whole tensor as floats.</summary>
    public void Read(string name, Span<float> destination)
    {
        if (Quantized(name) is { } module) Container!.ReadSingles(module, destination);
        else Stored.ReadSingles(name, destination);
    }

    /// <summary>Whether two tensors of one shape hold the same values.</summary>
    public bool Same(string first, string second)
    {
        if (TypeOf(first) is { } type && type == TypeOf(second))
        {
            long length = Stored.Tensors[first].ByteLength;
            for (long offset = 0; offset < length; offset += Part)
            {
                int count = (int)Math.Min(Part, length - offset);
                if (!Stored.GetBytes(first, offset, count).SequenceEqual(Stored.GetBytes(second, offset, count))) return false;
            }
            return true;
        }
        long elements = ShapeOf(first).Aggregate(1L, (product, size) => product * size);
        var values = new float[elements];
        var others = new float[elements];
        Read(first, values);
        Read(second, others);
        return values.AsSpan().SequenceEqual(others);
    }

    /// <summary>The exception for a tensor that is not there.</summary>
    public CheckpointException Absent(string name) => new($"{Location}: tensor '{name}' is absent; the files do not belong to this configuration.");

    /// <summary>The exception for a tensor that a whole model has; it says what the names look like where none is as expected.</summary>
    public CheckpointException Absent(string name, Architecture architecture)
    {
        if (Stored.Names.FirstOrDefault(stored => stored.EndsWith("tok_embeddings.weight", StringComparison.Ordinal)) is { } other)
        {
            return new CheckpointException(
                $"{Location}: '{other}' is a name of Meta's own files, which are not read; " +
                "convert them by transformers' convert_llama_weights_to_hf.py, or take the Hugging Face folder.");
        }
        return Stored.Names.Any(architecture.Owns) || Stored.Names.Count == 0 ? Absent(name) : new CheckpointException(
            $"{Location}: tensor '{name}' is absent; the names of the files begin otherwise ('{Stored.Names[0]}'), " +
            "with none of the prefixes that are known. Rename them to those of transformers.");
    }
}
