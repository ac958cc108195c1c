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
/// Mamba-1 as Jamba has it: every channel has a state of its own, written along B and read along C,
/// <code>
/// [x, z] = in u;  x = silu(convolution x);  [t, B, C] = proj x, each with a norm;  dt = softplus(dt_proj t + bias)
/// S_c = e^(dt_c A_c) S_c + dt_c x_c B;  y_c = S_c C + D_c x_c;  out(y * silu z)
/// </code>
/// </summary>
internal sealed class SelectiveScanMixer : IMixer
{
    /// <summary>Input projection, [2 channels, hidden]: rows of x and of z.</summary>
    public required LinearSlot Input { get; init; }

    /// <summary>Over x.</summary>
    public required CausalConvolution Convolution { get; init; }

    /// <summary>Projection of x to t, B and C, [stepRank + 2 state, channels].</summary>
    public required LinearSlot Projection { get; init; }

    /// <summary>Norms of t, B and C.</summary>
    public required (INorm Step, INorm Write, INorm Read) Norms { get; init; }

    /// <summary>Projection of t to steps, [channels, stepRank], without its bias.</summary>
    public required LinearSlot Steps { get; init; }

    /// <summary>The bias, [channels].</summary>
    public required Tensor StepBias { get; init; }

    /// <summary>A, negative, [channels, state].</summary>
    public required Tensor Rate { get; init; }

    /// <summary>D, [channels].</summary>
    public required Tensor Skip { get; init; }

    /// <summary>Output projection, [hidden, channels].</summary>
    public required LinearSlot Output { get; init; }

    private int Channels => Rate.Rows;

    private int StateColumns => Rate.Columns;

    private (int, int)[] Shapes => [(Convolution.Reach, Channels), (Channels, StateColumns)];

    /// <inheritdoc/>
    public StateSize StateSize => RecurrentState.SizeOf(Shapes);

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            // Not from the tensors, which a listed model does not have.
            long channels = Output.InFeatures, small = Projection.OutFeatures, states = (small - Steps.InFeatures) / 2 * channels / SelectiveScanShape.ChunkLength;
            // x and z, x convolved and activated; t, B and C together, apart and normalised; steps twice, what comes out, and that gated.
            return new TapeNumbers(
                Input.OutFeatures + (4 * channels) + (3 * small) + (4 * channels) + states + Output.OutFeatures,
                Input.InFeatures + (long)Output.InFeatures + (Projection.IsKept ? 0 : channels) + (Steps.IsKept ? 0 : Steps.InFeatures));
        }
    }

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new RecurrentState(device, Shapes);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        Variable all = Input.Apply(tape, x), z = tape.Columns(all, Channels, Channels);
        Variable y = pass.Recur(tape, [tape.Columns(all, 0, Channels)], Channels, (inputs, shape, front, behind) => Scan(tape, inputs[0], shape, front, behind));
        return Output.Apply(tape, tape.GatedActivation(Activation.Silu, z, y));
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers) => readers.Add(Input);

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Output);
        folds.Refuse(Output, FoldKind.Values, "its input comes out of a recurrence");
    }

    private Variable Scan(Tape tape, Variable input, SequenceShape shape, Tensor[]? front, Tensor[]? behind)
    {
        Variable x = tape.Activate(Activation.Silu, Convolution.Apply(tape, input, shape, front?[0], behind?[0])), parts = Projection.Apply(tape, x);
        int rank = Steps.InFeatures;
        Variable t = Norms.Step.Apply(tape, tape.Columns(parts, 0, rank));
        Variable b = Norms.Write.Apply(tape, tape.Columns(parts, rank, StateColumns)), c = Norms.Read.Apply(tape, tape.Columns(parts, rank + StateColumns, StateColumns));
        Variable steps = tape.StepSizes(Steps.Apply(tape, t), StepBias, 0, float.PositiveInfinity);
        return tape.SelectiveScan(new SelectiveScanShape(shape.Batch, shape.Length, Channels, StateColumns), x, b, c, steps, Rate, Skip, front?[1], behind?[1]);
    }
}
