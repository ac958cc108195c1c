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
/// Kimi Linear's delta attention: the gated delta rule with a decay for every channel of a key,
/// <code>
/// q, k, v = silu(convolution(. x)) each;  beta = sigmoid(b x);  g = -exp(A) softplus(f_b f_a x + dt)
/// S = diag(e^g) S;  S += beta k (v - S^T k)^T;  o = S^T q             q and k of length 1, q times keySize^-.5
/// y = out(norm(o) * sigmoid(g_b g_a x))                               the norm by heads
/// </code>
/// </summary>
internal sealed class KimiDelta : IMixer
{
    /// <summary>Projections to queries, keys and values, [heads * size, hidden] each.</summary>
    public required (LinearSlot Query, LinearSlot Key, LinearSlot Value) Projections { get; init; }

    /// <summary>Their convolutions.</summary>
    public required (CausalConvolution Query, CausalConvolution Key, CausalConvolution Value) Convolutions { get; init; }

    /// <summary>f_a [size, hidden] and f_b [heads * size, size].</summary>
    public required (LinearSlot Down, LinearSlot Up) Decay { get; init; }

    /// <summary>g_a [size, hidden] and g_b [heads * size, size].</summary>
    public required (LinearSlot Down, LinearSlot Up) Gate { get; init; }

    /// <summary>To the strength beta, [heads, hidden].</summary>
    public required LinearSlot Strength { get; init; }

    /// <summary>-exp(A) of every channel's head, [heads * size].</summary>
    public required Tensor NegativeRate { get; init; }

    /// <summary>dt, [heads * size].</summary>
    public required Tensor DecayBias { get; init; }

    /// <summary>Of a head.</summary>
    public required INorm Norm { get; init; }

    /// <summary>Output projection, [hidden, heads * size].</summary>
    public required LinearSlot Output { get; init; }

    /// <summary>Heads and sizes, decays by channel; sequences do not matter here.</summary>
    public required DeltaRuleShape Heads { get; init; }

    private int Width => Heads.ValueHeads * Heads.ValueSize;

    private (int, int)[] Shapes
    {
        get
        {
            (int, int) tail = (Convolutions.Query.Reach, Width);
            return [tail, tail, tail, (Heads.ValueHeads * Heads.KeySize, Heads.ValueSize)];
        }
    }

    /// <inheritdoc/>
    public StateSize StateSize => RecurrentState.SizeOf(Shapes);

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            long width = Width, small = Decay.Down.OutFeatures + (long)Gate.Down.OutFeatures, heads = Heads.ValueHeads;
            // Queries, keys and values, convolved and activated; the decay as it is, its softplus, and the rates by which that is multiplied; the gate.
            long values = (9 * width) + (4 * width) + width + small + (2 * heads);
            return new TapeNumbers(values + (3 * width) + heads + Heads.KeptNumbers + Output.OutFeatures, Projections.Query.InFeatures + (long)Output.InFeatures);
        }
    }

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new RecurrentState(device, Shapes);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        Variable q = Projections.Query.Apply(tape, x), k = Projections.Key.Apply(tape, x), v = Projections.Value.Apply(tape, x);
        Variable decay = tape.LogDecay(Through(Decay), NegativeRate, DecayBias);
        Variable strength = tape.Activate(Activation.Sigmoid, Strength.Apply(tape, x));
        Variable o = pass.Recur(tape, [q, k, v, decay, strength], Width, (inputs, shape, front, behind) =>
        {
            Variable Convolved(CausalConvolution convolution, int part) =>
                tape.Activate(Activation.Silu, convolution.Apply(tape, inputs[part], shape, front?[part], behind?[part]));
            return tape.DeltaRule(
                Heads with { Batch = shape.Batch, Length = shape.Length }, Convolved(Convolutions.Query, 0), Convolved(Convolutions.Key, 1), Convolved(Convolutions.Value, 2),
                inputs[3], inputs[4], front?[3], behind?[3]);
        });
        return Output.Apply(tape, tape.GatedActivation(Activation.Sigmoid, Through(Gate), Norm.Apply(tape, o)));

        Variable Through((LinearSlot Down, LinearSlot Up) pair) => pair.Up.Apply(tape, pair.Down.Apply(tape, x));
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers)
    {
        foreach (LinearSlot slot in new[] { Projections.Query, Projections.Key, Projections.Value, Decay.Down, Gate.Down, Strength }) readers.Add(slot);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Output);
        folds.Refuse(Output, FoldKind.Values, "a norm whose weight all heads share comes in between");
    }
}
