using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Bodies;

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
