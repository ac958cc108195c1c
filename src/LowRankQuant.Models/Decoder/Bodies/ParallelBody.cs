using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Bodies;

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
