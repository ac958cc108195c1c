namespace LowRankQuant.Formats;

/// <summary>Named tensors of a checkpoint, read as 32-bit floats, slice by slice, whatever the container.</summary>
public interface ITensorSource : IDisposable
{
    /// <summary>Names of all tensors, in file order.</summary>
    IReadOnlyList<string> Names { get; }

    /// <summary>Whether a tensor of this name exists.</summary>
    bool Contains(string name);

    /// <summary>Shape of a tensor, row-major: a linear weight is [outFeatures, inFeatures]. An empty shape is a scalar.</summary>
    /// <exception cref="CheckpointFormatException">No such tensor (<c>missing-tensor</c>).</exception>
    IReadOnlyList<long> ShapeOf(string name);

    /// <summary>Reads consecutive elements of a tensor as 32-bit floats.</summary>
    /// <param name="name">Tensor.</param>
    /// <param name="destination">Receives as many elements as it holds.</param>
    /// <param name="elementOffset">First element to read, counted row-major.</param>
    /// <exception cref="CheckpointFormatException">No such tensor, or its type cannot be read as floats.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The slice leaves the tensor.</exception>
    void ReadSingles(string name, Span<float> destination, long elementOffset = 0);
}
