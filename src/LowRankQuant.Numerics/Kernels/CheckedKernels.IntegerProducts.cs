using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels;

/// <summary>Products of integer codes.</summary>
internal abstract partial class CheckedKernels
{
    public void MultiplyCodes(in IntegerProductArguments arguments, Tensor y)
    {
        CodedActivations x = arguments.X;
        UniformWeight weight = arguments.Weight;
        if (x.Columns != weight.InFeatures) throw new ArgumentException($"Codes of {x.Rows} x {x.Columns} for a weight of {weight.InFeatures} inputs.", nameof(arguments));
        if (weight.Branch is not null) throw new ArgumentException("A weight with a branch is no product of codes alone; multiply with its floats.", nameof(arguments));
        Count(y, (long)x.Rows * weight.OutFeatures);
        if (y.Count > 0) inner.MultiplyCodes(arguments, y);
    }
}
