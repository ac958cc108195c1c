using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Bodies;

/// <summary>x += part(norm x): a block of one part, whichever it is.</summary>
internal sealed class SingleBody : IBlockBody
{
    /// <summary>In front of the part.</summary>
    public required INorm Norm { get; init; }

    /// <summary>An <see cref="IMixer"/> or an <see cref="IFeedForward"/>.</summary>
    public required IFoldable Part { get; init; }

    /// <inheritdoc/>
    public IMixer Mixer => Part as IMixer ?? NoMixer.Only;

    /// <inheritdoc/>
    public Variable Forward(Tape tape, Variable x, ForwardPass pass)
    {
        Variable input = Norm.Apply(tape, x);
        return tape.Add(x, Part is IMixer mixer ? mixer.Apply(tape, input, pass) : ((IFeedForward)Part).Apply(tape, input));
    }

    /// <inheritdoc/>
    public TapeNumbers OnTape(int hidden) => Part is IMixer mixer ? new TapeNumbers(3L * hidden, 0) + mixer.OnTape : new TapeNumbers(4L * hidden, 0) + ((IFeedForward)Part).OnTape;

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Stream(Norm, InputReaders.Of(Part));
        Part.AddFolds(folds);
    }

    // Of a block that mixes nothing, and remembers nothing.
    private sealed class NoMixer : IMixer, IMixerState
    {
        public static readonly NoMixer Only = new();

        public StateSize StateSize => default;

        public TapeNumbers OnTape => default;

        public IMixerState CreateState(Device device, int positions) => this;

        public Variable Apply(Tape tape, Variable x, ForwardPass pass) => throw new InvalidOperationException("This block mixes no positions.");

        public void CopyFrom(IMixerState other, int positions)
        {
        }

        public void Dispose()
        {
        }
    }
}
