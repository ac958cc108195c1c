using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>A block of mixers, MLPs, experts and norms. It owns whatever <see cref="BlockParts"/> made for it.</summary>
internal sealed class DecoderBlock(BlockParts parts, IBlockBody body) : IDecoderBlock
{
    private BlockFolds? _folds;

    /// <inheritdoc/>
    public int Index => parts.Index;

    /// <inheritdoc/>
    public string Name => parts.Name;

    /// <inheritdoc/>
    public IReadOnlyList<LinearSlot> Slots => parts.Slots;

    /// <inheritdoc/>
    public IReadOnlyList<LinearSlot> Kept => parts.Kept;

    /// <inheritdoc/>
    public IReadOnlyList<SlotGroup> DeclaredInputs => parts.DeclaredInputs;

    /// <inheritdoc/>
    public IReadOnlyList<RouterChoice> Routers => parts.Routers;

    /// <inheritdoc/>
    public IReadOnlyList<CacheSite> Caches { get; } = body.Mixer.Caches;

    /// <inheritdoc/>
    public BlockFolds Folds => _folds ??= FindFolds();

    /// <inheritdoc/>
    public Func<string, float, float>? StoredRounding
    {
        get => parts.Tensors.Rounding;
        set => parts.Tensors.Rounding = value;
    }

    /// <inheritdoc/>
    public void Own(IDisposable part) => parts.Own(part);

    /// <inheritdoc/>
    public StateSize StateSize => body.Mixer.StateSize;

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => body.Mixer.CreateState(device, positions);

    /// <inheritdoc/>
    public Variable Forward(Tape tape, Variable x, ForwardPass pass) => body.Forward(tape, x, pass);

    /// <inheritdoc/>
    public ChangedTensors Changes(bool weights) => parts.Tensors.Changes(weights);

    /// <inheritdoc/>
    public void Take(ChangedTensors changes) => parts.Tensors.Take(changes);

    /// <inheritdoc/>
    public void Dispose() => parts.Dispose();

    private BlockFolds FindFolds()
    {
        var folds = new FoldList(parts.Slots, parts.Tensors);
        body.AddFolds(folds);
        return folds.Finish();
    }
}
