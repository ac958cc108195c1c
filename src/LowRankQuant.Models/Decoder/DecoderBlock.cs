using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

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

/// <summary>
/// Mixer, then MLP, each added to the residual stream, with norms in front, behind, or on the stream itself:
/// <code>
/// x += m * post1(mixer(norm1 x));  x += m * post2(mlp(norm2 x))           norms that are absent leave their argument as it is
/// x = norm1(x + mixer x);          x = norm2(x + mlp x)                   with norms on the stream (OPT-350m)
/// </code>
/// </summary>
internal sealed class SequentialBody : IBlockBody
{
    /// <summary>In front of the mixer, or null.</summary>
    public INorm? MixerNorm { get; init; }

    /// <inheritdoc/>
    public required IMixer Mixer { get; init; }

    /// <summary>Behind the mixer, or null.</summary>
    public INorm? MixerPostNorm { get; init; }

    /// <summary>In front of the MLP, or null.</summary>
    public INorm? MlpNorm { get; init; }

    /// <summary>The MLP or the experts.</summary>
    public required IFeedForward Mlp { get; init; }

    /// <summary>Behind the MLP, or null.</summary>
    public INorm? MlpPostNorm { get; init; }

    /// <summary>m.</summary>
    public float ResidualFactor { get; init; } = 1;

    /// <summary>Whether the norms named "in front" are applied to the sums instead.</summary>
    public bool NormsOnStream { get; init; }

    /// <summary>The stream behind the mixer.</summary>
    public Variable Mix(Tape tape, Variable x, ForwardPass pass) => Step(tape, x, MixerNorm, input => Mixer.Apply(tape, input, pass), MixerPostNorm);

    /// <inheritdoc/>
    public Variable Forward(Tape tape, Variable x, ForwardPass pass)
    {
        Variable h = Mix(tape, x, pass);
        return Step(tape, h, MlpNorm, input => Mlp.Apply(tape, input), MlpPostNorm);
    }

    /// <inheritdoc/>
    public TapeNumbers OnTape(int hidden)
    {
        // Two norms, two sums, what the MLP gives, and one to spare.
        int streams = 6 + (MixerPostNorm is null ? 0 : 1) + (MlpPostNorm is null ? 0 : 1) + (ResidualFactor == 1 ? 0 : 2);
        return new TapeNumbers((long)streams * hidden, 0) + Mixer.OnTape + Mlp.OnTape;
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        AddMixerFolds(folds);
        AddMlpFolds(folds);
    }

    /// <summary>The mixer's folds alone.</summary>
    public void AddMixerFolds(FoldList folds) => AddFolds(folds, MixerNorm, Mixer, MixerPostNorm);

    /// <summary>The MLP's folds alone.</summary>
    public void AddMlpFolds(FoldList folds) => AddFolds(folds, MlpNorm, Mlp, MlpPostNorm);

    private void AddFolds(FoldList folds, INorm? norm, IFoldable part, INorm? post)
    {
        folds.Behind(post);
        if (NormsOnStream) folds.Behind(norm);
        folds.Stream(NormsOnStream ? null : norm, InputReaders.Of(part));
        part.AddFolds(folds);
    }

    private Variable Step(Tape tape, Variable x, INorm? norm, Func<Variable, Variable> part, INorm? post)
    {
        Variable y = part(NormsOnStream || norm is null ? x : norm.Apply(tape, x));
        if (post is not null) y = post.Apply(tape, y);
        if (ResidualFactor != 1) y = tape.Scale(y, ResidualFactor);
        Variable sum = tape.Add(x, y);
        return NormsOnStream && norm is not null ? norm.Apply(tape, sum) : sum;
    }
}

/// <summary>x += mixer(norm1 x) + mlp(norm2 x): both see the same stream; norm2 may be norm1.</summary>
internal sealed class ParallelBody : IBlockBody
{
    /// <summary>In front of the mixer.</summary>
    public required INorm MixerNorm { get; init; }

    /// <inheritdoc/>
    public required IMixer Mixer { get; init; }

    /// <summary>In front of the MLP; null for the mixer's.</summary>
    public INorm? MlpNorm { get; init; }

    /// <summary>The MLP.</summary>
    public required IFeedForward Mlp { get; init; }

    /// <inheritdoc/>
    public Variable Forward(Tape tape, Variable x, ForwardPass pass)
    {
        Variable h = MixerNorm.Apply(tape, x), other = MlpNorm is null ? h : MlpNorm.Apply(tape, x);
        Variable mixed = tape.Add(x, Mixer.Apply(tape, h, pass));
        return tape.Add(mixed, Mlp.Apply(tape, other));
    }

    /// <inheritdoc/>
    public TapeNumbers OnTape(int hidden) => new TapeNumbers((MlpNorm is null ? 5L : 6) * hidden, 0) + Mixer.OnTape + Mlp.OnTape;

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        // One norm in front of both has the readers of both.
        InputReaders readers = InputReaders.Of(Mixer);
        if (MlpNorm is null) Mlp.AddReaders(readers);
        folds.Stream(MixerNorm, readers);
        Mixer.AddFolds(folds);
        if (MlpNorm is not null) folds.Stream(MlpNorm, InputReaders.Of(Mlp));
        Mlp.AddFolds(folds);
    }
}
