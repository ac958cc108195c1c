using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Bodies;

/// <summary>
/// Gemma 4: norms around attention and MLP, perhaps experts beside the MLP, perhaps an input of the block's own, and a factor of the whole:
/// <code>
/// x += n2(attention(n1 x))
/// x += n4(mlp(n3 x))                                                      or, with experts, r = x:
/// x  = r + n4(n5(mlp(n3 r)) + n7(experts(n6 r)))                          the router sees r
/// x += n8(projection(activation(gate x) * u))                             u the block's own input
/// x *= factor
/// </code>
/// </summary>
internal sealed class Gemma4Body : IBlockBody
{
    /// <summary>n1 to n4, attention and MLP.</summary>
    public required SequentialBody Main { get; init; }

    /// <summary>Experts, n5, n6 and n7; null without.</summary>
    public (Experts Experts, INorm AfterMlp, INorm BeforeExperts, INorm AfterExperts)? Sparse { get; init; }

    /// <summary>Gate, projection and n8 of the block's own input; null without.</summary>
    public (LinearSlot Gate, LinearSlot Projection, INorm Norm)? Own { get; init; }

    /// <summary>Behind the gate.</summary>
    public required Activation Activation { get; init; }

    /// <summary>The factor.</summary>
    public required float Factor { get; init; }

    /// <inheritdoc/>
    public IMixer Mixer => Main.Mixer;

    /// <inheritdoc/>
    public Variable Forward(Tape tape, Variable x, ForwardPass pass)
    {
        Variable h = Sparse is null ? Main.Forward(tape, x, pass) : WithExperts(tape, Main.Mix(tape, x, pass));
        if (Own is { } own)
        {
            Variable input = new(pass.PerLayer ?? throw new InvalidOperationException("The block has an input of its own, and the pass has none."));
            Variable gated = tape.GatedActivation(Activation, own.Gate.Apply(tape, h), input);
            h = tape.Add(h, own.Norm.Apply(tape, own.Projection.Apply(tape, gated)));
        }
        return Factor == 1 ? h : tape.Scale(h, Factor);
    }

    /// <inheritdoc/>
    public TapeNumbers OnTape(int hidden)
    {
        TapeNumbers sum = Main.OnTape(hidden);
        // Three norms, what the experts give, and its sum with the MLP's.
        if (Sparse is { } sparse) sum += new TapeNumbers(5L * hidden, 0) + sparse.Experts.OnTape;
        // The projection, its norm, the sum.
        if (Own is { } own) sum += new TapeNumbers((3L * hidden) + (2L * own.Gate.OutFeatures), own.Gate.InFeatures + (long)own.Projection.InFeatures);
        return Factor == 1 ? sum : sum + new TapeNumbers(hidden, 0);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        Main.AddMixerFolds(folds);
        Main.AddMlpFolds(folds);
        if (Sparse is { } sparse)
        {
            folds.Behind(sparse.AfterMlp);
            folds.Behind(sparse.AfterExperts);
            // The router sees the stream by itself.
            var readers = new InputReaders();
            sparse.Experts.AddReaders(readers, withRouter: false);
            folds.Stream(sparse.BeforeExperts, readers);
            sparse.Experts.AddFolds(folds);
        }
        if (Own is not { } own) return;
        folds.Behind(own.Norm);
        folds.Refuse(own.Gate, FoldKind.Norm, "it reads the residual stream without a norm in front");
        folds.Refuse(own.Projection, FoldKind.Up, "the other factor of its input is the block's own input, which the model's embedding makes");
    }

    private Variable WithExperts(Tape tape, Variable r)
    {
        (Experts experts, INorm afterMlp, INorm beforeExperts, INorm afterExperts) = Sparse!.Value;
        Variable dense = afterMlp.Apply(tape, Main.Mlp.Apply(tape, Main.MlpNorm!.Apply(tape, r)));
        Variable sparse = afterExperts.Apply(tape, experts.Apply(tape, beforeExperts.Apply(tape, r), r));
        return tape.Add(r, Main.MlpPostNorm!.Apply(tape, tape.Add(dense, sparse)));
    }
}
