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
/// The gated delta rule of Qwen3-Next and Qwen 3.5. Every value head has a state S, which forgets, is told what it does not know yet, and is read:
/// <code>
/// [q, k, v] = silu(convolution(qkv x));  beta = sigmoid(b x);  g = -exp(A) softplus(a x + dt)
/// S = e^g S;  S += beta k (v - S^T k)^T;  o = S^T q                   q and k of length 1, q times keySize^-.5
/// y = out(norm(o) * silu(z x))                                        the norm by heads
/// </code>
/// </summary>
internal sealed class GatedDeltaNet : IMixer
{
    /// <summary>Projection to queries, keys and values, [2 keyHeads * keySize + valueHeads * valueSize, hidden]; with those of z behind the values of every key head where <see cref="Gate"/> is null.</summary>
    public required LinearSlot Mixed { get; init; }

    /// <summary>Projection to z, [valueHeads * valueSize, hidden]; null where its rows are among those of <see cref="Mixed"/>.</summary>
    public LinearSlot? Gate { get; init; }

    /// <summary>To the strength beta, [valueHeads, hidden]; with the rows of a behind those of every key head where <see cref="Decay"/> is null.</summary>
    public required LinearSlot Strength { get; init; }

    /// <summary>To the decay, [valueHeads, hidden]; null where its rows are among those of <see cref="Strength"/>.</summary>
    public LinearSlot? Decay { get; init; }

    /// <summary>Over queries, keys and values, in this order.</summary>
    public required CausalConvolution Convolution { get; init; }

    /// <summary>-exp(A), [valueHeads].</summary>
    public required Tensor NegativeRate { get; init; }

    /// <summary>dt, [valueHeads].</summary>
    public required Tensor DecayBias { get; init; }

    /// <summary>Of a value head.</summary>
    public required INorm Norm { get; init; }

    /// <summary>Output projection, [hidden, valueHeads * valueSize].</summary>
    public required LinearSlot Output { get; init; }

    /// <summary>Heads and sizes; sequences do not matter here.</summary>
    public required DeltaRuleShape Heads { get; init; }

    private int KeyWidth => Heads.KeyHeads * Heads.KeySize;

    private int ValueWidth => Heads.ValueHeads * Heads.ValueSize;

    private (int, int)[] Shapes => [(Convolution.Reach, Convolution.Channels), (Heads.ValueHeads * Heads.KeySize, Heads.ValueSize)];

    /// <inheritdoc/>
    public StateSize StateSize => RecurrentState.SizeOf(Shapes);

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            long mixed = Convolution.Channels, heads = Heads.ValueHeads;
            // Fused projections are taken apart, and queries, keys and values put together.
            long projections = mixed + ValueWidth + (Gate is null ? (2 * mixed) + ValueWidth : 0);
            // Both gates, perhaps apart; a sigmoid, a softplus, and the rates by which that is multiplied.
            long gates = Strength.OutFeatures + (Decay?.OutFeatures ?? 2 * heads) + (4 * heads);
            long rule = (3 * mixed) + ValueWidth + Heads.KeptNumbers;
            return new TapeNumbers(projections + gates + rule + (2L * ValueWidth) + heads + Output.OutFeatures, Mixed.InFeatures + (long)Output.InFeatures);
        }
    }

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new RecurrentState(device, Shapes);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        Variable mixed = Mixed.Apply(tape, x), z;
        if (Gate is null) (mixed, z) = Split(tape, mixed);
        else z = Gate.Apply(tape, x);
        (Variable strength, Variable decay) = Gates(tape, x);
        Variable o = pass.Recur(tape, [mixed, decay, strength], ValueWidth, (inputs, shape, front, behind) => Scan(tape, inputs, shape, front, behind));
        return Output.Apply(tape, tape.GatedActivation(Activation.Silu, z, Norm.Apply(tape, o)));
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers)
    {
        readers.Add(Mixed);
        readers.Add(Gate);
        readers.Add(Strength);
        readers.Add(Decay);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        folds.Writes(Output);
        folds.Refuse(Output, FoldKind.Values, "a norm whose weight all heads share comes in between");
    }

    private Variable Scan(Tape tape, IReadOnlyList<Variable> inputs, SequenceShape shape, Tensor[]? front, Tensor[]? behind)
    {
        Variable all = tape.Activate(Activation.Silu, Convolution.Apply(tape, inputs[0], shape, front?[0], behind?[0]));
        Variable q = tape.Columns(all, 0, KeyWidth), k = tape.Columns(all, KeyWidth, KeyWidth), v = tape.Columns(all, 2 * KeyWidth, ValueWidth);
        return tape.DeltaRule(Heads with { Batch = shape.Batch, Length = shape.Length }, q, k, v, inputs[1], inputs[2], front?[1], behind?[1]);
    }

    private (Variable Strength, Variable Decay) Gates(Tape tape, Variable x)
    {
        Variable strength = Strength.Apply(tape, x), decay;
        if (Decay is not null) decay = Decay.Apply(tape, x);
        else
        {
            int rows = x.Value.Rows, each = Heads.ValueHeads / Heads.KeyHeads;
            Variable heads = tape.View(strength, checked(rows * Heads.KeyHeads), 2 * each);
            strength = tape.View(tape.Columns(heads, 0, each), rows, Heads.ValueHeads);
            decay = tape.View(tape.Columns(heads, each, each), rows, Heads.ValueHeads);
        }
        return (tape.Activate(Activation.Sigmoid, strength), tape.LogDecay(decay, NegativeRate, DecayBias));
    }

    // Rows by key head: its query, its key, its values, their z.
    private (Variable Mixed, Variable Gate) Split(Tape tape, Variable all)
    {
        int rows = all.Value.Rows, size = Heads.KeySize, values = ValueWidth / Heads.KeyHeads;
        Variable heads = tape.View(all, checked(rows * Heads.KeyHeads), (2 * size) + (2 * values));
        Variable Part(int start, int width) => tape.View(tape.Columns(heads, start, width), rows, Heads.KeyHeads * width);
        return (tape.JoinColumns(Part(0, size), Part(size, size), Part(2 * size, values)), Part((2 * size) + values, values));
    }
}
