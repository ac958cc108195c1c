using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Decoder.Linears;

/// <summary>
/// A weight that is kept as integer codes. Where its input is quantized too, products are of integers (<see cref="LinearSlot.Apply"/>); what needs floats gets them for the life
/// of a tape.
/// </summary>
public sealed class CodedWeight : IValueSource
{
    /// <summary>Keeps a quantized weight.</summary>
    /// <exception cref="ArgumentException">It has a branch, which is no codes.</exception>
    public CodedWeight(UniformWeight codes) =>
        Codes = codes.Branch is null ? codes : throw new ArgumentException("A weight with a branch is kept as floats.", nameof(codes));

    /// <summary>The codes, [outFeatures, inFeatures].</summary>
    public UniformWeight Codes { get; }

    /// <inheritdoc/>
    public Variable Weight(Tape tape)
    {
        Tensor values = tape.Rent(Codes.OutFeatures, Codes.InFeatures);
        values.CopyFrom(ToArray());
        return new Variable(values);
    }

    /// <inheritdoc/>
    public float[] ToArray()
    {
        var values = new float[Codes.Codes.Length];
        Codes.Dequantize(values);
        return values;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Codes are the collector's.
    }
}
