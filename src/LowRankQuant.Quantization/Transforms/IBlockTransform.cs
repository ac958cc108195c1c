using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Transforms;

/// <summary>Changes a block, before a method sees it, without changing what it computes.</summary>
public interface IBlockTransform
{
    /// <summary>Its name in recipes and reports.</summary>
    string Name { get; }

    /// <summary>Whether it looks at the inputs of blocks.</summary>
    bool NeedsInputs { get; }

    /// <summary>Whether it asks for errors (<see cref="BlockTransformContext.Error"/>).</summary>
    bool Searches => false;

    /// <summary>Transforms a block that is loaded, in place.</summary>
    /// <exception cref="TransformException">It cannot do so with this block, or something that it needs is absent.</exception>
    BlockTransformResult Apply(BlockTransformContext context);

    /// <summary>Transforms a block that is loaded again as it was transformed before.</summary>
    /// <param name="block">The block, as it is stored.</param>
    /// <param name="state">What <see cref="BlockTransformResult.State"/> was.</param>
    /// <exception cref="TransformException">The state is not of this block.</exception>
    void Restore(IDecoderBlock block, IReadOnlyDictionary<string, float[]> state);
}

/// <summary>A block to be transformed, and what a transform may ask for.</summary>
public sealed record BlockTransformContext
{
    /// <summary>The block, its weights floats.</summary>
    public required IDecoderBlock Block { get; init; }

    /// <summary>The calibration windows in front of the block, on the full-precision stream; null where no transform needs them. Stays where it is.</summary>
    public ActivationStream? Inputs { get; init; }

    /// <summary>The first so many of <see cref="Inputs"/> may be looked at, since the others are held out; null for all.</summary>
    public int? Windows { get; init; }

    /// <summary>Which tokens of every window statistics and errors take; null for all.</summary>
    public IReadOnlyList<bool[]>? Masks { get; init; }

    /// <summary>Both.</summary>
    internal LookedAt LookedAt => new(Windows, Masks);

    /// <summary>How the weights of the block will be quantized; null where the transform does not ask.</summary>
    public Scheme? Scheme { get; init; }

    /// <summary>
    /// How far the block as it stands, once its weights and activations are quantized, is from what it gave before any transform: mean squared difference of its outputs, or
    /// anything that is smaller where the block is better. Null where nothing is searched.
    /// </summary>
    public Func<IDecoderBlock, double>? Error { get; init; }

    /// <summary>Asks to stop.</summary>
    public CancellationToken Cancellation { get; init; }
}

/// <summary>What a transform did to a block.</summary>
public sealed record BlockTransformResult
{
    /// <summary>Tensors of the block that are no weights of its slots and are others now, those of earlier transforms included; writers take them from here.</summary>
    public required ChangedTensors Changes { get; init; }

    /// <summary>The places that were changed.</summary>
    public required IReadOnlyList<TransformedSite> Sites { get; init; }

    /// <summary>Inputs that the transform would have changed and could not, with the reason.</summary>
    public required IReadOnlyList<RefusedFold> Refused { get; init; }

    /// <summary>Numbers that <see cref="IBlockTransform.Restore"/> needs, by the place they belong to.</summary>
    public IReadOnlyDictionary<string, float[]> State { get; init; } = new Dictionary<string, float[]>();

    /// <summary>What was found in a search; null where nothing was searched.</summary>
    public SearchedSetting? Search { get; init; }
}

/// <summary>A place that was changed.</summary>
/// <param name="Kind">What stands in front.</param>
/// <param name="Source">Its name within the block.</param>
/// <param name="Readers">Names of the linears that read.</param>
/// <param name="Smallest">The smallest factor; 1 where there are none.</param>
/// <param name="Largest">The largest factor; 1 where there are none.</param>
public sealed record TransformedSite(FoldKind Kind, string Source, IReadOnlyList<string> Readers, float Smallest, float Largest)
{
    /// <summary>What was chosen for the place by itself, in a few words; null for nothing.</summary>
    public string? Chosen { get; init; }
}

/// <summary>A transform does not go with a model, or lacks what it needs.</summary>
public sealed class TransformException(string message) : Exception(message);
