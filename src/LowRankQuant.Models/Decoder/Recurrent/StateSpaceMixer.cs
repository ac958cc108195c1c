using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Sequences;

namespace LowRankQuant.Models.Decoder.Recurrent;

/// <summary>
/// Mamba-2. A head of x is written into a state along B and read along C, both shared by the heads of a group:
/// <code>
/// [z, x, B, C, dt] = in u;  [x, B, C] = silu(convolution [x, B, C]);  dt = clamp(softplus(dt + bias), low, high)
/// S = e^(dt A) S + dt x B^T;  y = S C + D x
/// out(norm(y * silu z)), or out(norm(y) * silu z), or out(y * silu z)     the norm by groups
/// </code>
/// </summary>
internal sealed record StateSpaceMixer : IMixer
{
    /// <summary>Input projection, [2 width + 2 groups * state + heads, hidden]: rows of z, x, B, C and dt.</summary>
    public required LinearSlot Input { get; init; }

    /// <summary>Multiplies columns of what the input projection gives, [its rows]; null for ones.</summary>
    public Tensor? InputFactors { get; init; }

    /// <summary>Over x, B and C.</summary>
    public required CausalConvolution Convolution { get; init; }

    /// <summary>A, negative, [heads].</summary>
    public required Tensor Rate { get; init; }

    /// <summary>D, [heads].</summary>
    public required Tensor Skip { get; init; }

    /// <summary>Of dt, [heads].</summary>
    public required Tensor StepBias { get; init; }

    /// <summary>Bounds of dt.</summary>
    public (float Low, float High) StepLimits { get; init; } = (0, float.PositiveInfinity);

    /// <summary>Norm and gate of what comes out; null for the gate alone.</summary>
    public GatedNorm? Norm { get; init; }

    /// <summary>Output projection, [hidden, width].</summary>
    public required LinearSlot Output { get; init; }

    /// <summary>Heads and sizes; sequences do not matter here.</summary>
    public required StateSpaceShape Heads { get; init; }

    private int Width => Heads.Heads * Heads.HeadSize;

    private int GroupWidth => Heads.Groups * Heads.StateSize;

    private (int, int)[] Shapes => [(Convolution.Reach, Convolution.Channels), (Width, Heads.StateSize)];

    /// <inheritdoc/>
    public StateSize StateSize => RecurrentState.SizeOf(Shapes);

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            long mixed = Convolution.Channels, states = (long)Width * Heads.StateSize / StateSpaceShape.ChunkLength;
            long projections = ((InputFactors is null ? 1 : 3) * (long)Input.OutFeatures) + Width + mixed + (2 * Heads.Heads);
            // Gate and norm, and where groups are normalised by themselves the weights for every row.
            long gated = Norm is null ? Width : (Heads.Groups == 1 ? 2L : 4) * Width;
            return new TapeNumbers(projections + (3 * mixed) + Width + states + gated + Output.OutFeatures, Input.InFeatures + (long)Output.InFeatures);
        }
    }

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new RecurrentState(device, Shapes);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        Variable all = Input.Apply(tape, x);
        if (InputFactors is not null) all = tape.ScaleColumns(all, InputFactors);
        int mixed = Convolution.Channels;
        Variable z = tape.Columns(all, 0, Width), dt = tape.Columns(all, Width + mixed, Heads.Heads);
        Variable steps = tape.StepSizes(dt, StepBias, StepLimits.Low, StepLimits.High);
        Variable y = pass.Recur(tape, [tape.Columns(all, Width, mixed), steps], Width, (inputs, shape, front, behind) => Scan(tape, inputs, shape, front, behind));
        return Output.Apply(tape, Norm is null ? tape.GatedActivation(Activation.Silu, z, y) : Norm.Apply(tape, y, z));
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers) => readers.Add(Input);

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Output);
        folds.Refuse(Output, FoldKind.Values, "its input comes out of a recurrence");
    }

    private Variable Scan(Tape tape, IReadOnlyList<Variable> inputs, SequenceShape shape, Tensor[]? front, Tensor[]? behind)
    {
        Variable all = tape.Activate(Activation.Silu, Convolution.Apply(tape, inputs[0], shape, front?[0], behind?[0]));
        Variable x = tape.Columns(all, 0, Width), b = tape.Columns(all, Width, GroupWidth), c = tape.Columns(all, Width + GroupWidth, GroupWidth);
        return tape.StateSpace(Heads with { Batch = shape.Batch, Length = shape.Length }, x, b, c, inputs[1], Rate, Skip, front?[1], behind?[1]);
    }
}
