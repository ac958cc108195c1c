using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Norms;

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

    /// <summary>What channels are multiplied by.</summary>
    double[] Gains() => Array.ConvertAll(Weight.ToArray(), value => (double)value + WeightOffset);

    /// <summary>Multiplies channels by something else.</summary>
    /// <param name="tensors">Knows how the weight is stored.</param>
    /// <param name="gains">What they shall be multiplied by. Where it is not 0, what is stored is not 0 either, and has its sign.</param>
    /// <param name="undo">Takes the old weight; null where it is not needed.</param>
    void SetGains(BlockTensors tensors, double[] gains, FoldUndo? undo)
    {
        string name = tensors.NameOf(Weight)!;
        double taken = WeightOffset + (double)tensors.OffsetOf(Weight);
        var stored = new float[gains.Length];
        for (int i = 0; i < stored.Length; i++) stored[i] = Stored(gains[i]);
        tensors.Write(Weight, stored, undo);

        float Stored(double gain)
        {
            if (tensors.Rounding is not { } rounding || gain == 0) return (float)(gain - taken);
            float value = rounding(name, (float)(gain - taken));
            // Beyond the largest number of a half, or of 1 + w too near to 0 for the digits of w: the nearest that does.
            for (double less = gain / 2; !float.IsFinite(value); less /= 2) value = rounding(name, (float)(less - taken));
            for (int power = -24; power < 0 && (value + taken) * gain <= 0; power++) value = rounding(name, (float)(Math.CopySign(Math.ScaleB(1, power), gain) - taken));
            return value;
        }
    }

    /// <summary>Makes all channels be multiplied by 1.</summary>
    /// <param name="tensors">The tensors of the norm's block.</param>
    /// <returns>What they were multiplied by; null for ones that are not stored.</returns>
    double[]? TakeWeight(BlockTensors tensors)
    {
        if (tensors.NameOf(Weight) is null) return null;
        double[] gain = Gains();
        SetGains(tensors, [.. Enumerable.Repeat(1.0, gain.Length)], null);
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
