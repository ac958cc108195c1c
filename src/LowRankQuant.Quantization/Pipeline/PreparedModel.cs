using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Quantization.Transforms.Rotation;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// The model as a run quantizes it: blocks with the recipe's transforms, and with the quantizers of their activations, keys and values. What was found for a block is kept among
/// the working files, so that the block comes out the same whenever it is loaded again.
/// <code>
/// prepared-NNNNN.safetensors   transform.I.PLACE                       F32    numbers of transform I
///                              changed.TENSOR                          F32    tensors of the block that are no weights of linears and are others now
///                              input.LINEAR.scale, .zero_point         F32    static steps, as they are stored
///                              input.LINEAR.found_scale                F32    the step that was found, where another was learned
///                              cache.I.scale, .zero_point              F32
/// </code>
/// </summary>
public sealed class PreparedModel
{
    private const string TransformPrefix = "transform.", ChangedPrefix = "changed.";
    private readonly CausalModel _model;
    private readonly Recipe _recipe;
    private readonly RunFolder? _folder;
    private readonly IReadOnlyList<IBlockTransform> _transforms;

    /// <summary>Makes the transforms.</summary>
    /// <param name="model">The source; from now on the linears that the recipe quantizes are those of its blocks.</param>
    /// <param name="recipe">What is done.</param>
    /// <param name="folder">The run; null where nothing is kept, so that nothing can be loaded again.</param>
    /// <exception cref="TransformException">A transform does not go with the model.</exception>
    public PreparedModel(CausalModel model, Recipe recipe, RunFolder? folder)
    {
        (_model, _recipe, _folder) = (model, recipe, folder);
        model.Selection = recipe.Selection;
        _transforms = [.. recipe.Transforms.Select(transform => transform.Create(model, recipe.Seed))];
    }

    /// <summary>The source.</summary>
    public CausalModel Model => _model;

    /// <summary>Whether all blocks are as the source has them.</summary>
    public bool IsPlain => !HasChanges && !Quantizes;

    // Whether there is more to quantize than weights.
    private bool Quantizes => _recipe is not { Activations: null, Cache: null };

    private RunFolder Folder => _folder ?? throw new InvalidOperationException("Nothing is kept of the blocks of this model.");

    private RotationTransform? Rotation => _transforms.OfType<RotationTransform>().FirstOrDefault(rotation => rotation.Stream is not null);

    /// <summary>The embedding in full precision.</summary>
    public InputEmbedding LoadEmbedding() => Rotation is { } rotation ? rotation.LoadEmbedding() : _model.LoadEmbedding();

    /// <summary>The output head in full precision.</summary>
    public OutputHead LoadHead() => Rotation is { } rotation ? rotation.LoadHead() : _model.LoadHead();

    /// <summary>Loads a block for the first time: transforms it, and finds its quantizers.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="inputs">Windows in front of it on the full-precision stream; null where nothing looks at text.</param>
    /// <param name="windows">The first so many are looked at.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="measured">Whether errors of inputs are measured for reports, and for what is decided by them.</param>
    /// <param name="lastPass">
    /// Takes all of <paramref name="inputs"/> through the block, which is given, one by one, in order and for good, and tells the number of each and what came out: then the last
    /// pass that ranges need, where they need any, is this one. Null where the windows stay there.
    /// </param>
    /// <param name="masks">Which tokens of every window transforms look at; null for all. Static ranges, which all tokens have to fit, take all.</param>
    public PreparedBlock Prepare(
        int index, ActivationStream? inputs, int windows, CancellationToken cancellation, bool measured = true, Action<IDecoderBlock, Action<int, Tensor>>? lastPass = null,
        IReadOnlyList<bool[]>? masks = null)
    {
        IDecoderBlock block = Load(index);
        try
        {
            var kept = new List<PendingTensor>();
            var results = new List<BlockTransformResult>();
            IReadOnlyList<IBlockTransform> transforms = TransformsOf(index);
            for (int i = 0; i < transforms.Count; i++)
            {
                // What the block gives as it is takes a pass over all windows, which only a search looks at.
                using BlockError? error = inputs is null || !transforms[i].Searches ? null : new BlockError(this, block, inputs, windows, masks, cancellation);
                BlockTransformResult result = transforms[i].Apply(new BlockTransformContext
                {
                    Block = block,
                    Inputs = inputs,
                    Windows = windows,
                    Masks = masks,
                    Scheme = _recipe.SchemeOf(index),
                    Error = error is null ? null : error.Of,
                    Cancellation = cancellation,
                });
                results.Add(result);
                foreach ((string place, float[] values) in result.State) kept.Add(PendingTensor.FromSingles($"{TransformPrefix}{i}.{place}", SafetensorsType.F32, [values.Length], values));
            }
            foreach (string name in results.Count == 0 ? [] : results[^1].Changes.Names)
            {
                float[] values = results[^1].Changes.Read(name);
                kept.Add(PendingTensor.FromSingles(ChangedPrefix + name, SafetensorsType.F32, [values.Length], values));
            }
            BlockQuantizers? quantizers = !Quantizes ? null
                : Fitting(block).Find(_recipe.Activations, _recipe.Cache, inputs, windows, measured, cancellation, lastPass);
            return new PreparedBlock(block, quantizers, results, kept);
        }
        catch
        {
            block.Dispose();
            throw;
        }
    }

    /// <summary>Loads a block that has been prepared before.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="asFound">
    /// As round to nearest beside the result has it: with static steps as ranges gave them, in the place of those that were learned from there, and without what the method itself
    /// changed unless such steps are of inputs that it changed.
    /// </param>
    public PreparedBlock Reload(int index, bool asFound = false)
    {
        IDecoderBlock block = Load(index);
        IReadOnlyList<IBlockTransform> transforms = asFound && !Quantizes ? _transforms : TransformsOf(index);
        if (transforms.Count == 0 && !Quantizes) return new PreparedBlock(block, null, [], []);
        try
        {
            using SafetensorsFile file = SafetensorsFile.Open(Folder.PreparedFile(index));
            for (int i = 0; i < transforms.Count; i++)
            {
                string prefix = $"{TransformPrefix}{i}.";
                transforms[i].Restore(block, file.Names.Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).ToDictionary(name => name[prefix.Length..], name => Values(file, name), StringComparer.Ordinal));
            }
            BlockQuantizers? quantizers = !Quantizes ? null : BlockQuantizers.Read(block, _recipe.Activations, _recipe.Cache, file, _model.Device, asFound);
            return new PreparedBlock(block, quantizers, [], []);
        }
        catch
        {
            block.Dispose();
            throw;
        }
    }

    /// <summary>Keeps what was found for a block.</summary>
    public void Keep(PreparedBlock prepared)
    {
        if (Quantizes || TransformsOf(prepared.Block.Index).Count > 0) Folder.WritePrepared(prepared.Block.Index, [.. prepared.Kept, .. prepared.Quantizers?.Tensors() ?? []]);
    }

    /// <summary>Whether tensors that are no weights of linears are others than the source has.</summary>
    public bool HasChanges => _transforms.Count > 0 || _recipe.Methods.Any(method => method.Transform is not null);

    /// <summary>The tensors that transforms changed in all blocks, and around them; blocks have to be prepared.</summary>
    public ChangedTensors Changes()
    {
        ChangedTensors changes = Rotation?.Vocabulary() ?? new ChangedTensors();
        for (int i = 0; i < _model.Config.Layers; i++)
        {
            if (TransformsOf(i).Count == 0) continue;
            string path = Folder.PreparedFile(i);
            using SafetensorsFile file = SafetensorsFile.Open(path);
            foreach (string name in file.Names.Where(name => name.StartsWith(ChangedPrefix, StringComparison.Ordinal)).ToArray())
            {
                changes.Add(name[ChangedPrefix.Length..], () =>
                {
                    using SafetensorsFile again = SafetensorsFile.Open(path);
                    return Values(again, name);
                });
            }
        }
        return changes;
    }

    /// <summary>Finds quantizers of a block.</summary>
    internal QuantizerFitting Fitting(IDecoderBlock block) => new(block, _model.Device, _recipe.ScaleType);

    /// <summary>What is done.</summary>
    internal Recipe Recipe => _recipe;

    private IReadOnlyList<IBlockTransform> TransformsOf(int index) =>
        _recipe.MethodOf(index).Transform is { } own ? [.. _transforms, own.Create(_model, _recipe.SeedOf(index))] : _transforms;

    // What transforms change is computed with as it will be stored.
    private IDecoderBlock Load(int index)
    {
        IDecoderBlock block = _model.LoadBlock(index);
        if (TransformsOf(index).Count > 0)
            block.StoredRounding = (name, value) => _model.Checkpoint.OwnTypeOf(name) is null ? StorageScale.RoundAny(value, _recipe.ScaleType) : value;
        return block;
    }

    private static float[] Values(SafetensorsFile file, string name)
    {
        var values = new float[file.ShapeOf(name)[0]];
        file.ReadSingles(name, values);
        return values;
    }
}

/// <summary>A block with its transforms done and its quantizers at hand.</summary>
public sealed class PreparedBlock : IDisposable
{
    internal PreparedBlock(IDecoderBlock block, BlockQuantizers? quantizers, IReadOnlyList<BlockTransformResult> transforms, IReadOnlyList<PendingTensor> kept) =>
        (Block, Quantizers, Transforms, Kept) = (block, quantizers, transforms, kept);

    /// <summary>The block, its weights floats.</summary>
    public IDecoderBlock Block { get; }

    /// <summary>Its quantizers, not installed; null where everything but weights stays floats.</summary>
    public BlockQuantizers? Quantizers { get; }

    /// <summary>What the transforms did; empty where the block was loaded again.</summary>
    public IReadOnlyList<BlockTransformResult> Transforms { get; }

    internal IReadOnlyList<PendingTensor> Kept { get; }

    /// <summary>The block with its quantizers installed, which it owns from now on.</summary>
    public IDecoderBlock Installed()
    {
        if (Quantizers is null) return Block;
        Quantizers.Install();
        Block.Own(Quantizers);
        return Block;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Quantizers?.Dispose();
        Block.Dispose();
    }
}
