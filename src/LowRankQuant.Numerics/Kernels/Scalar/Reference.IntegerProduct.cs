using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>Products of integer codes.</summary>
internal static partial class Reference
{
    /// <summary>See <see cref="IntegerProductArguments"/>.</summary>
    public static void MultiplyCodes(CodedActivations x, UniformWeight weight, Span<float> y)
    {
        int outFeatures = weight.OutFeatures, inFeatures = weight.InFeatures;
        var runs = new RunCuts(weight.EffectiveGroupSize, inFeatures);
        Span<sbyte> codes = x.Codes;
        for (int row = 0; row < x.Rows; row++)
        {
            (float step, int zero) = x.Row(row);
            for (int o = 0; o < outFeatures; o++)
            {
                float sum = 0;
                for (int run = 0; run < runs.Count; run++)
                {
                    (float scale, int weightZero) = weight.GroupOf(o, runs.GroupOf(run));
                    int start = runs.StartOf(run), total = 0;
                    for (int i = start; i < start + runs.LengthOf(run); i++) total += (codes[(row * inFeatures) + i] - zero) * (weight.Codes[(o * inFeatures) + i] - weightZero);
                    sum = run == 0 ? total * scale : MathF.FusedMultiplyAdd(total, scale, sum);
                }
                y[(row * outFeatures) + o] = sum * step;
            }
        }
    }
}
