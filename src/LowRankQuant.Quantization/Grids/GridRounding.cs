using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>The last rounding of a weight: codes are chosen once more with the scales as they will be stored.</summary>
public static class GridRounding
{
    /// <summary>
    /// code = clamp(round(W / (s e^D)) + z, 0, maxCode), s rounded to its stored type first, D = 0 when not given. Round half to even, in 32-bit floats.
    /// </summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="scheme">Grid and stored scale type.</param>
    /// <param name="parameters">Steps and zero points.</param>
    /// <param name="exponent">D, shaped as the weight, or empty for zeros.</param>
    /// <param name="workers">Threads; rows are independent.</param>
    public static UniformWeight Round(
        ReadOnlyMemory<float> weight, int outFeatures, int inFeatures, Scheme scheme, GridParameters parameters, ReadOnlyMemory<float> exponent,
        WorkerPool workers)
    {
        UniformGrid grid = scheme.Grid;
        var scales = new float[parameters.Steps.Length];
        for (int i = 0; i < scales.Length; i++) scales[i] = StorageScale.Round(parameters.Steps[i], scheme.ScaleType);
        var codes = new byte[weight.Length];
        int groups = grid.GroupsPerRow(inFeatures), size = inFeatures / groups;
        workers.Run(outFeatures, row =>
        {
            for (int group = 0; group < groups; group++)
            {
                int index = grid.Granularity == Granularity.Tensor ? 0 : (row * groups) + group;
                int start = (row * inFeatures) + (group * size);
                RoundRun(
                    weight.Span.Slice(start, size), exponent.IsEmpty ? default : exponent.Span.Slice(start, size), scales[index],
                    parameters.Zeros[index], grid.MaxCode, codes.AsSpan(start, size));
            }
        });
        return new UniformWeight(outFeatures, inFeatures, grid, codes, scales, grid.Symmetric ? null : parameters.Zeros, scheme.ScaleType);
    }

    private static void RoundRun(ReadOnlySpan<float> weight, ReadOnlySpan<float> exponent, float scale, int zero, int maxCode, Span<byte> codes)
    {
        for (int i = 0; i < weight.Length; i++)
        {
            float step = exponent.IsEmpty ? scale : scale * MathF.Exp(exponent[i]);
            codes[i] = (byte)(Math.Clamp(MathF.Round(weight[i] / step), -zero, maxCode - zero) + zero);
        }
    }
}
