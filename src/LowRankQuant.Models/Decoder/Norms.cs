using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>A normalisation of every row.</summary>
public interface INorm : IDisposable
{
    /// <summary>Normalises <paramref name="x"/> [rows, n].</summary>
    Variable Apply(Tape tape, Variable x);
}

/// <summary>A norm of whole rows whose channels have weights.</summary>
internal interface IChannelNorm : INorm
{
    /// <summary>[n].</summary>
    Tensor Weight { get; }

    /// <summary>[n], or null.</summary>
    Tensor? Bias { get; }

    /// <summary>Added to the weight when it is applied.</summary>
    float WeightOffset { get; }

    /// <summary>Whether the mean of a row is taken off it first.</summary>
    bool SubtractsMean { get; }

    /// <summary>The weight as it is to be stored after a change of what channels are multiplied by.</summary>
    /// <param name="tensors">Knows how the weight is stored.</param>
    /// <param name="change">From a channel and what it is multiplied by to what it shall be multiplied by.</param>
    float[] StoredWeight(BlockTensors tensors, Func<int, double, double> change)
    {
        float[] values = Weight.ToArray();
        double taken = WeightOffset + (double)tensors.OffsetOf(Weight);
        for (int i = 0; i < values.Length; i++) values[i] = (float)(change(i, (double)values[i] + WeightOffset) - taken);
        return values;
    }

    /// <summary>Makes all channels be multiplied by 1.</summary>
    /// <param name="tensors">The tensors of the norm's block.</param>
    /// <returns>What they were multiplied by; null for ones that are not stored.</returns>
    double[]? TakeWeight(BlockTensors tensors)
    {
        if (tensors.NameOf(Weight) is null) return null;
        double[] gain = Array.ConvertAll(Weight.ToArray(), value => (double)value + WeightOffset);
        tensors.Write(Weight, StoredWeight(tensors, (_, _) => 1), null);
        return gain;
    }
}

/// <summary>x / sqrt(mean(x^2) + epsilon) * (weight + offset).</summary>
/// <param name="weight">[n]; owned.</param>
/// <param name="epsilon">Added to the mean square.</param>
/// <param name="weightOffset">0, or 1 where files store weight - 1.</param>
public sealed class RmsNorm(Tensor weight, float epsilon, float weightOffset = 0) : IChannelNorm
{
    private readonly Variable _weight = new(weight);

    Tensor IChannelNorm.Weight => _weight.Value;

    Tensor? IChannelNorm.Bias => null;

    float IChannelNorm.WeightOffset => weightOffset;

    bool IChannelNorm.SubtractsMean => false;

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x) => tape.RmsNorm(x, _weight, epsilon, weightOffset);

    /// <inheritdoc/>
    public void Dispose() => _weight.Value.Dispose();
}

/// <summary>(x - mean) / sqrt(variance + epsilon) * weight + bias.</summary>
/// <param name="weight">[n]; owned.</param>
/// <param name="bias">[n] or null; owned.</param>
/// <param name="epsilon">Added to the variance.</param>
public sealed class LayerNorm(Tensor weight, Tensor? bias, float epsilon) : IChannelNorm
{
    private readonly Variable _weight = new(weight);
    private readonly Variable? _bias = bias is null ? null : new Variable(bias);

    Tensor IChannelNorm.Weight => _weight.Value;

    Tensor? IChannelNorm.Bias => _bias?.Value;

    float IChannelNorm.WeightOffset => 0;

    bool IChannelNorm.SubtractsMean => true;

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x) => tape.LayerNorm(x, _weight, _bias, epsilon);

    /// <inheritdoc/>
    public void Dispose()
    {
        _weight.Value.Dispose();
        _bias?.Value.Dispose();
    }
}

/// <summary>A norm of every head by itself, where the norm would take the whole row.</summary>
/// <param name="norm">Of a head; owned by who made it.</param>
/// <param name="headSize">Elements of a head.</param>
internal sealed class HeadwiseNorm(INorm norm, int headSize) : INorm
{
    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x)
    {
        int rows = x.Value.Rows, columns = x.Value.Columns;
        Variable heads = tape.View(x, checked(rows * (columns / headSize)), headSize);
        return tape.View(norm.Apply(tape, heads), rows, columns);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}

/// <summary>A norm of every head by itself, then a weight for every element of every head.</summary>
/// <param name="norm">Of a head, without weights of its own; owned by who made it.</param>
/// <param name="weight">[heads * headSize]; owned by who made it.</param>
internal sealed class WeightedHeadsNorm(INorm norm, Tensor weight) : INorm
{
    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x) => tape.ScaleColumns(norm.Apply(tape, x), weight);

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
