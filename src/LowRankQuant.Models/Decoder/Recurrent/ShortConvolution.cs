using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Recurrent;

/// <summary>
/// The gated short convolution of LFM2: [b, c, u] = in x;  y = out(c * convolution(b * u)), all of the width of the stream.
/// </summary>
internal sealed class ShortConvolution : IMixer
{
    /// <summary>Input projection, [3 hidden, hidden]: rows of b, of c and of u.</summary>
    public required LinearSlot Input { get; init; }

    /// <summary>Output projection, [hidden, hidden].</summary>
    public required LinearSlot Output { get; init; }

    /// <summary>The convolution.</summary>
    public required CausalConvolution Convolution { get; init; }

    private (int, int) Shape => (Convolution.Reach, Convolution.Channels);

    /// <inheritdoc/>
    public StateSize StateSize => RecurrentState.SizeOf(Shape);

    /// <inheritdoc/>
    public TapeNumbers OnTape => new(Input.OutFeatures + (6L * Convolution.Channels) + Output.OutFeatures, Input.InFeatures + (long)Output.InFeatures);

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new RecurrentState(device, Shape);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        int width = Convolution.Channels;
        Variable all = Input.Apply(tape, x), c = tape.Columns(all, width, width);
        Variable gated = tape.GatedActivation(Activation.Identity, tape.Columns(all, 0, width), tape.Columns(all, 2 * width, width));
        Variable mixed = pass.Recur(tape, [gated], width, (inputs, shape, front, behind) => Convolution.Apply(tape, inputs[0], shape, front?[0], behind?[0]));
        return Output.Apply(tape, tape.GatedActivation(Activation.Identity, c, mixed));
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers) => readers.Add(Input);

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Output);
        folds.Refuse(Output, FoldKind.Values, "its inputs are products of parts of one projection");
    }
}
