using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels;

/// <summary>Products of integer codes; the result is the same bits whatever computes them, see <see cref="IntegerProductArguments"/>.</summary>
internal unsafe interface IIntegerGemm
{
    /// <summary>The instructions or the library in use.</summary>
    string Name { get; }

    /// <summary>y = x^ W^ transposed; x has rows.</summary>
    /// <param name="x">Activations.</param>
    /// <param name="weight">Weight; its rows may be none.</param>
    /// <param name="y">[rows, outFeatures].</param>
    void Multiply(CodedActivations x, UniformWeight weight, float* y);
}
