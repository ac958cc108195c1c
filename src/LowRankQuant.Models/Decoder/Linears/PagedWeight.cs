using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Decoder.Linears;

/// <summary>
/// A weight that is floats only while something is computed with it; what it is made of, pages of a checkpoint or codes, takes less. On a tape that records it stays
/// as long as the tape, as gradients need it.
/// </summary>
/// <param name="load">Makes the floats [outFeatures, inFeatures], the same ones each time; the caller's.</param>
public sealed class PagedWeight(Func<Tensor> load) : IValueSource
{
    /// <summary>Does something with the values, which are gone afterwards.</summary>
    /// <param name="action">Given the weight [outFeatures, inFeatures]; computes at once.</param>
    public Variable Use(Func<Variable, Variable> action)
    {
        using Tensor values = load();
        return action(new Variable(values));
    }

    /// <summary>The same weight whose values are changed whenever they are made.</summary>
    /// <param name="change">Given the values [outFeatures, inFeatures].</param>
    internal PagedWeight Changed(Action<float[]> change) => new(() =>
    {
        Tensor values = load();
        try
        {
            float[] changed = values.ToArray();
            change(changed);
            values.CopyFrom(changed);
            return values;
        }
        catch
        {
            values.Dispose();
            throw;
        }
    });

    /// <inheritdoc/>
    public Variable Weight(Tape tape)
    {
        using Tensor values = load();
        Tensor kept = tape.Rent(values.Shape);
        tape.Device.Kernels.Copy(values, kept);
        return new Variable(kept);
    }

    /// <inheritdoc/>
    public float[] ToArray()
    {
        using Tensor values = load();
        return values.ToArray();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Pages and codes are somebody else's.
    }
}

/// <summary>Quantized weights in the slots of a model.</summary>
public static class QuantizedWeightExtensions
{
    /// <summary>
    /// What computes with a quantized weight in the place of another weight: its floats where that one's are in memory, and its codes, which become floats when they are
    /// computed with, where that one is paged.
    /// </summary>
    public static IWeightSource InPlaceOf(this QuantizedWeight weight, IWeightSource old, Device device) =>
        old is PagedWeight ? new PagedWeight(() => weight.ToTensor(device)) : new DenseWeight(weight.ToTensor(device));

    /// <summary>The weight as the model computes with it: (code - zero) * scale, plus the branch where there is one; [outFeatures, inFeatures], the caller's.</summary>
    public static Tensor ToTensor(this QuantizedWeight weight, Device device)
    {
        Tensor tensor = device.Empty(weight.OutFeatures, weight.InFeatures);
        if (tensor.IsOnHost)
        {
            weight.Reconstruct(tensor.Span);
            return tensor;
        }
        var values = new float[weight.Codes.Length];
        weight.Reconstruct(values);
        tensor.CopyFrom(values);
        return tensor;
    }
}
