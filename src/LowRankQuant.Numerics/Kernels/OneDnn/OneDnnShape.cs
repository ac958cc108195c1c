namespace LowRankQuant.Numerics.Kernels.OneDnn;

/// <summary>Sizes, types and steps of a product c [m, n] (+)= a [m, k] b [k, n]; steps are elements from one row or column to the next.</summary>
internal readonly record struct OneDnnShape(int M, int N, int K)
{
    /// <summary>Type of a.</summary>
    public required int SourceType { get; init; }

    /// <summary>Type of b.</summary>
    public required int WeightsType { get; init; }

    /// <summary>Type of c.</summary>
    public required int DestinationType { get; init; }

    /// <summary>From one row of a to the next.</summary>
    public required long SourceRow { get; init; }

    /// <summary>From one column of a to the next.</summary>
    public required long SourceColumn { get; init; }

    /// <summary>From one row of b to the next.</summary>
    public required long WeightsRow { get; init; }

    /// <summary>From one column of b to the next.</summary>
    public required long WeightsColumn { get; init; }

    /// <summary>From one row of c to the next.</summary>
    public required long DestinationRow { get; init; }

    /// <summary>Whether the product is added to c.</summary>
    public bool Accumulate { get; init; }
}

/// <summary>A product that is ready to be computed, by any thread and by several at once.</summary>
/// <param name="source">Descriptor of a.</param>
/// <param name="weights">Descriptor of b.</param>
/// <param name="destination">Descriptor of c.</param>
/// <param name="scratch">Descriptor of scratch memory; empty for none.</param>
/// <param name="scratchBytes">Its size.</param>
/// <param name="primitive">The library's handle.</param>
/// <param name="destroy">Gives it back.</param>
internal sealed unsafe class OneDnnProduct(
    byte[] source, byte[] weights, byte[] destination, byte[] scratch, long scratchBytes, nint primitive, delegate* unmanaged[Cdecl]<nint, int> destroy)
{
    // Nobody says when the last thread is done with it.
    ~OneDnnProduct() => destroy(primitive);

    public byte[] Source => source;

    public byte[] Weights => weights;

    public byte[] Destination => destination;

    public byte[] Scratch => scratch;

    /// <summary>Bytes of scratch memory that one computation takes.</summary>
    public long ScratchBytes => scratchBytes;

    /// <summary>The library's handle.</summary>
    public nint Primitive => primitive;
}
