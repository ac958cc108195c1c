using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;

namespace LowRankQuant.Models.Decoder.Linears;

/// <summary>Gives the weight of a linear layer when a forward pass asks for it: dense, fake-quantized with gradients, or anything else.</summary>
public interface IWeightSource : IDisposable
{
    /// <summary>The weight [outFeatures, inFeatures] as a variable of <paramref name="tape"/>.</summary>
    Variable Weight(Tape tape);
}

/// <summary>A weight whose values can be had without a tape.</summary>
public interface IValueSource : IWeightSource
{
    /// <summary>A copy of the values, [outFeatures, inFeatures].</summary>
    float[] ToArray();
}

/// <summary>A weight that stands in memory as it is.</summary>
public sealed class DenseWeight : IValueSource
{
    private readonly Variable _variable;

    /// <summary>Takes ownership of <paramref name="value"/> [outFeatures, inFeatures].</summary>
    public DenseWeight(Tensor value) => _variable = new Variable(value);

    /// <summary>A weight that is itself trained; takes ownership of both tensors.</summary>
    public DenseWeight(Tensor value, Tensor gradient) => _variable = new Variable(value, gradient);

    /// <summary>The values.</summary>
    public Tensor Value => _variable.Value;

    /// <summary>The values as a variable.</summary>
    public Variable Variable => _variable;

    /// <inheritdoc/>
    public Variable Weight(Tape tape) => _variable;

    /// <inheritdoc/>
    public float[] ToArray() => Value.ToArray();

    /// <inheritdoc/>
    public void Dispose()
    {
        _variable.Value.Dispose();
        _variable.Gradient?.Dispose();
    }
}

/// <summary>A named linear layer of a block whose weight can be replaced. Methods work on slots and never on block code.</summary>
public sealed class LinearSlot : IDisposable
{
    private readonly Variable? _bias;

    /// <summary>Creates the slot and takes ownership of its weight and bias.</summary>
    /// <param name="name">Name within the block, such as <c>self_attn.q_proj</c>.</param>
    /// <param name="outFeatures">Rows of the weight.</param>
    /// <param name="inFeatures">Columns of the weight.</param>
    /// <param name="weight">The weight.</param>
    /// <param name="bias">[outFeatures], or null.</param>
    public LinearSlot(string name, int outFeatures, int inFeatures, IWeightSource weight, Tensor? bias)
    {
        Name = name;
        OutFeatures = outFeatures;
        InFeatures = inFeatures;
        Weight = weight;
        _bias = bias is null ? null : new Variable(bias);
    }

    /// <summary>Name within the block.</summary>
    public string Name { get; }

    /// <summary>Rows of the weight.</summary>
    public int OutFeatures { get; }

    /// <summary>Columns of the weight.</summary>
    public int InFeatures { get; }

    /// <summary>Whether it belongs to an expert, one of several that tokens are sent to.</summary>
    public bool IsExpert { get; init; }

    /// <summary>Whether it stays in its own type: it is computed with, and no method sees it.</summary>
    public bool IsKept { get; init; }

    /// <summary>[outFeatures], or null.</summary>
    internal Tensor? Bias => _bias?.Value;

    /// <summary>What is in the slot now.</summary>
    public IWeightSource Weight { get; private set; }

    /// <summary>Whether the passes that follow do without the slot: an expert that has such a slot is passed over whole.</summary>
    public bool IsIdle { get; set; }

    /// <summary>Rounds the input in front of the product; slots that share an input share it. Null for none. Not owned.</summary>
    public IActivationQuantizer? InputQuantizer { get; set; }

    /// <summary>Shown the input [rows, inFeatures], quantized where it is, of every <see cref="Apply"/>; null for nobody. The tensor is valid during the call.</summary>
    public Action<Tensor>? InputObserver { get; set; }

    /// <summary>Shown dloss/doutput [rows, outFeatures] in every backward pass; null for nobody. The tensor is valid during the call.</summary>
    public Action<Tensor>? OutputGradientObserver { get; set; }

    /// <summary>Puts another weight into the slot and gives the old one back to the caller, who now owns it.</summary>
    public IWeightSource Exchange(IWeightSource weight)
    {
        IWeightSource old = Weight;
        Weight = weight;
        return old;
    }

    /// <summary>A copy of the values in the slot, [outFeatures, inFeatures].</summary>
    /// <exception cref="InvalidOperationException">What is in the slot has values on a tape alone.</exception>
    public float[] WeightValues() => Weight is IValueSource values
        ? values.ToArray()
        : throw new InvalidOperationException($"{Name}: a {Weight.GetType().Name} has no values without a tape.");

    /// <summary>
    /// Whether weight and input are both codes, so that <see cref="Apply"/> multiplies integers where nobody needs floats: on a tape that does not record, without an observer
    /// of the input.
    /// </summary>
    public bool MultipliesCodes => Weight is CodedWeight && InputQuantizer is ICodeQuantizer { HasCodes: true };

    /// <summary>y = x W^T + b for every row of <paramref name="x"/> [rows, inFeatures].</summary>
    public Variable Apply(Tape tape, Variable x)
    {
        if (MultipliesCodes && !tape.Recording && InputObserver is null) return tape.Linear(((ICodeQuantizer)InputQuantizer!).Codes(tape, x), ((CodedWeight)Weight).Codes, _bias);
        if (InputQuantizer is not null) x = InputQuantizer.Apply(tape, x);
        InputObserver?.Invoke(x.Value);
        Variable y = Weight is PagedWeight paged && !tape.Recording
            ? paged.Use(weight => tape.Linear(x, weight, _bias))
            : tape.Linear(x, Weight.Weight(tape), _bias);
        return OutputGradientObserver is { } observer ? tape.ObserveGradient(y, observer) : y;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Weight.Dispose();
        _bias?.Value.Dispose();
    }
}
